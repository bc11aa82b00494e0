# The flake's outputs with stubs for its inputs. `realLib` is a checkout of nixpkgs' lib, or null for the stub.
{
  root,
  realLib ? null,
}:
let
  stub = import ./lib.nix;
  # the real functions for sets of files need Nix 2.14
  lib = if realLib == null then stub else import realLib // { inherit (stub) fileset; };
  types = if realLib == null then import ./types.nix else lib.types;
  listed = builtins.fromTOML (builtins.readFile ../nixpkgs-attributes.toml);
  nixpkgs = import ./nixpkgs.nix { inherit lib types; };
  outputs = (import (root + "/flake.nix")).outputs {
    inherit nixpkgs;
    self = outputs;
  };
  system = "x86_64-linux";

  # the evaluation of `module` with the options `declarations`, and with the `definitions` of a user
  evaluate =
    module: declarations: definitions:
    lib.evalModules {
      specialArgs.pkgs = nixpkgs.legacyPackages.${system};
      modules = [
        module
        (import ./options.nix { inherit types declarations; })
        definitions
      ];
    };
in
{
  inherit lib outputs;
  pkgs = nixpkgs.legacyPackages.${system};
  settings = import (root + "/nix/home/settings.nix") { inherit lib; };
  home = evaluate outputs.homeModules.ccvm listed.home-manager;
  nixos = evaluate outputs.nixosModules.ccvm listed.nixos;
  # the value of an option of the type with one definition
  valueOf =
    type: value:
    (lib.evalModules {
      modules = [
        { options.tested = lib.mkOption { inherit type; }; }
        { tested = value; }
      ];
    }).config.tested;
}
