# The packages of this flake, as an overlay.
final: _prev: {
  ccvm-tui-library = final.python3Packages.callPackage ./library.nix { };

  # with the host's QEMU and the image of the Debian recipe, which is built on first use
  ccvm-tui-minimal = final.callPackage ./application.nix { };

  # with the guest image of Nix
  ccvm-tui = final.ccvm-tui-minimal.override { guestImage = final.ccvm-guest-image; };

  # `nix` is named here, because it would otherwise be the package of that name.
  ccvm-guest-image = final.callPackage ./guest { nix = { }; };
}
