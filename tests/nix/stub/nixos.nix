# A stub of `pkgs.nixos`: the options of NixOS that are listed, and values of the ones that NixOS computes.
{
  lib,
  types,
  fake,
  nixos,
  pkgs,
}:
configuration:
let
  evaluated = lib.evalModules {
    specialArgs = { inherit pkgs; };
    modules = [
      configuration
      (import ./options.nix {
        inherit types;
        declarations = nixos;
      })
      computed
    ];
  };

  # what NixOS derives from the configuration
  computed = {
    system.build.toplevel =
      let
        failed = builtins.filter (entry: !entry.assertion) evaluated.config.assertions;
        settings = builtins.intersectAttrs configurable evaluated.config;
      in
      if failed != [ ] then
        throw "Failed assertions: ${toString (map (entry: entry.message) failed)}"
      else
        fake "system" { } // derivation {
          name = "system";
          system = "x86_64-linux";
          builder = "/bin/sh";
          settings = builtins.toJSON settings;
        };
    system.path = fake "system-path" { };
    system.modulesTree = fake "kernel-modules" { };
    system.nixos.release = "26.05";
    nix.package = fake "nix" { };
    boot.kernelPackages.kernel = fake "kernel" {
      dev = fake "kernel-dev" { };
      modDirVersion = "6.18.1";
    };
  };

  configurable = {
    boot = null;
    documentation = null;
    environment = null;
    fileSystems = null;
    networking = null;
    programs = null;
    security = null;
    services = null;
    systemd = null;
    users = null;
  };
in
evaluated.config.system.build // evaluated
