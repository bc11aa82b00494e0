# The output `packages` of one system.
{ lib, pkgs }:
let
  # on ARM, QEMU does not boot an ELF kernel
  hasGuestImage = pkgs.stdenv.hostPlatform.isx86_64;
in
{
  default = if hasGuestImage then pkgs.ccvm-tui else pkgs.ccvm-tui-minimal;
  minimal = pkgs.ccvm-tui-minimal;
}
// lib.optionalAttrs hasGuestImage { guest-image = pkgs.ccvm-guest-image; }
