# The options of guests, `ccvm.guest.*`, which extra modules can set too.
{ lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.ccvm.guest = {
    nix = {
      enable = mkOption {
        type = types.bool;
        default = false;
        description = "Whether Nix can be used in guests.";
      };
      substituters = mkOption {
        type = types.listOf types.str;
        default = [ ];
        description = "Binary caches that Nix in guests uses in addition to the default one.";
      };
      trustedPublicKeys = mkOption {
        type = types.listOf types.str;
        default = [ ];
        description = "Public keys of the additional binary caches.";
      };
    };
    extraPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = "Packages that are installed in guests, in addition to the usual ones.";
    };
    python = mkOption {
      type = types.package;
      default = pkgs.python3;
      internal = true;
      description = "The Python that runs the guest agent.";
    };
  };
}
