# The options `programs.ccvm.*`.
{ self }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  settings = import ./settings.nix { inherit lib; };
  cfg = config.programs.ccvm;
  packages = self.packages.${pkgs.stdenv.hostPlatform.system};

  optionOf =
    row:
    mkOption {
      inherit (row) type default;
      description = "The ${row.description}.";
    };

  # options for rows, which may be grouped
  optionsOf = make: lib.mapAttrs (_: row: if row ? setting then make row else optionsOf make row);

  # in a project's section, null stands for the value outside it
  projectOptionOf =
    row:
    mkOption {
      type = types.nullOr row.type;
      default = null;
      description = "The ${row.description}. By default, the value for all projects applies.";
    };
in
{
  imports = [
    # ccvm passed one variable
    (lib.mkChangedOptionModule
      [ "programs" "ccvm" "apiKeyVariable" ]
      [ "programs" "ccvm" "apiKeyVariables" ]
      (config: [ config.programs.ccvm.apiKeyVariable ])
    )
  ];

  options.programs.ccvm = {
    enable = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to install the commands ccvm-tui and ccvm.";
    };

    package = mkOption {
      type = types.package;
      inherit (packages) default;
      defaultText = lib.literalExpression "ccvm-tui with its guest image";
      description = "The package that contains the commands.";
    };

    finalPackage = mkOption {
      type = types.package;
      readOnly = true;
      description = "The package that is installed: with the configured guest image.";
    };

    nix = {
      enable = mkOption {
        type = types.bool;
        default = false;
        description = "Whether Nix can be used in guests.";
      };
      substituters = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "https://cache.example.org" ];
        description = "Binary caches that Nix in guests uses in addition to the default one.";
      };
      trustedPublicKeys = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "cache.example.org-1:pubkey" ];
        description = "Public keys of the additional binary caches.";
      };
    };

    extraPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = lib.literalExpression "[ pkgs.nodejs pkgs.go ]";
      description = "Packages that are installed in guests, in addition to the usual ones.";
    };

    extraGuestModules = mkOption {
      type = types.listOf types.deferredModule;
      default = [ ];
      example = lib.literalExpression "[ { services.postgresql.enable = true; } ]";
      description = "NixOS modules for guests.";
    };

    guestImage = mkOption {
      type = types.package;
      default = packages.guest-image.override {
        inherit (cfg) nix extraPackages extraGuestModules;
      };
      defaultText = lib.literalExpression "the image with nix, extraPackages and extraGuestModules";
      description = "The guest image that is used unless the option image is set.";
    };

    projects = mkOption {
      type = types.attrsOf (
        types.submodule { options = optionsOf projectOptionOf settings.perProject; }
      );
      default = { };
      example = {
        "~/src/firmware" = {
          agent = "none";
          writableCwd = false;
        };
      };
      description = "Settings of projects, by the path of the project, which is absolute or starts with ~.";
    };
  }
  // optionsOf optionOf settings.perProject
  // {
    leader = optionOf settings.userOnly.leader;
    keys = lib.mapAttrs (_: optionOf) settings.userOnly.keys;
    theme = lib.mapAttrs (_: optionOf) settings.userOnly.theme;
  };
}
