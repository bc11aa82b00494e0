# The NixOS module of the host: it installs the commands for all users, and gives users access to KVM.
{ self }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.programs.ccvm;
in
{
  options.programs.ccvm = {
    enable = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to install the commands ccvm-tui and ccvm.";
    };
    package = mkOption {
      type = types.package;
      inherit (self.packages.${pkgs.stdenv.hostPlatform.system}) default;
      defaultText = lib.literalExpression "ccvm-tui with its guest image";
      description = "The package that contains the commands.";
    };
    kvmUsers = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "alice" ];
      description = "Users who may access /dev/kvm. Without KVM, guests are emulated, which is several times slower.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    users.groups.kvm.members = cfg.kvmUsers;
  };
}
