# The home-manager module: it installs the commands and writes config.toml. Options that have their default are not
# written, so that `ccvm-tui config` shows which values were set.
{ self }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (pkgs.stdenv.hostPlatform) system;
  packages = self.packages.${system};
  cfg = config.programs.ccvm;
  settings = import ./settings.nix { inherit lib; };
  toml = import ./toml.nix { inherit lib; };

  # values by the name of the setting, for the rows whose value differs from `ignored row`; groups of rows are left out
  written =
    rows: values: ignored:
    lib.listToAttrs (
      lib.concatLists (
        lib.mapAttrsToList (
          name: row:
          lib.optional (row ? setting && values.${name} != ignored row) (
            lib.nameValuePair (lib.last (lib.splitString "." row.setting)) values.${name}
          )
        ) rows
      )
    );
  changed = rows: values: written rows values (row: row.default);

  text = toml.render {
    top =
      changed settings.perProject cfg
      // changed { inherit (settings.userOnly) leader; } cfg;
    sections = [
      {
        path = [ "share" ];
        values = changed settings.perProject.share cfg.share;
      }
      {
        path = [ "clipboard" ];
        values = changed settings.perProject.clipboard cfg.clipboard;
      }
      {
        path = [ "keys" ];
        values = changed settings.userOnly.keys cfg.keys;
      }
      {
        path = [ "theme" ];
        values = changed settings.userOnly.theme cfg.theme;
      }
    ]
    ++ lib.concatLists (
      lib.mapAttrsToList (path: values: [
        {
          path = [
            "project"
            path
          ];
          values = written settings.perProject values (_: null);
        }
        {
          path = [
            "project"
            path
            "share"
          ];
          values = written settings.perProject.share values.share (_: null);
        }
        {
          path = [
            "project"
            path
            "clipboard"
          ];
          values = written settings.perProject.clipboard values.clipboard (_: null);
        }
      ]) cfg.projects
    );
  };

  # whether the guest image is another one than that of the package
  hasOwnGuest = cfg.nix.enable || cfg.extraPackages != [ ] || cfg.extraGuestModules != [ ];

  badPaths = lib.filter (path: builtins.match "[/~].*" path == null) (lib.attrNames cfg.projects);
in
{
  imports = [ (import ./options.nix { inherit self; }) ];

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = badPaths == [ ];
        message = "programs.ccvm.projects: these paths are neither absolute nor start with ~: ${toString badPaths}";
      }
      {
        assertion =
          cfg.nix.enable || (cfg.nix.substituters == [ ] && cfg.nix.trustedPublicKeys == [ ]);
        message = "programs.ccvm.nix.substituters and programs.ccvm.nix.trustedPublicKeys have no effect without programs.ccvm.nix.enable.";
      }
      {
        assertion = hasOwnGuest -> packages ? guest-image;
        message = "programs.ccvm: nix, extraPackages and extraGuestModules need a guest image of Nix, which does not exist for ${system}.";
      }
      {
        assertion = !(hasOwnGuest && cfg.image != "");
        message = "programs.ccvm.image selects another guest image, so programs.ccvm.nix, extraPackages and extraGuestModules have no effect.";
      }
    ];

    programs.ccvm.finalPackage =
      if hasOwnGuest then cfg.package.override { inherit (cfg) guestImage; } else cfg.package;

    home.packages = [ cfg.finalPackage ];
    xdg.configFile."ccvm/config.toml" = lib.mkIf (text != "") { inherit text; };
  };
}
