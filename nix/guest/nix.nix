# Nix inside guests. The store is the read-only root file system with a layer in memory above it, so what is built or
# downloaded in a guest is lost with it.
{
  config,
  lib,
  ...
}:
let
  cfg = config.ccvm.guest.nix;
in
{
  assertions = [
    {
      assertion = cfg.enable || (cfg.substituters == [ ] && cfg.trustedPublicKeys == [ ]);
      message = "ccvm.guest.nix.substituters and ccvm.guest.nix.trustedPublicKeys have no effect without ccvm.guest.nix.enable.";
    }
  ];

  nix.enable = cfg.enable;
  nix.settings = lib.mkIf cfg.enable {
    experimental-features = [
      "nix-command"
      "flakes"
    ];
    inherit (cfg) substituters;
    trusted-public-keys = cfg.trustedPublicKeys;
  };

  # The database of the store is not part of the image: the files that it describes are.
  boot.postBootCommands = lib.mkIf cfg.enable ''
    ${config.nix.package}/bin/nix-store --load-db </nix/registration
  '';
}
