# A guest image with NixOS: the same files, manifest and control port as an image of a recipe, so that the program does
# not distinguish them.
#
#   ccvm-guest-image.override { nix.enable = true; extraPackages = [ pkgs.nodejs ]; }
#
# builds a variant of it.
{
  runCommand,
  nixos,
  pkgsStatic,
  binutils,
  python3,
  xz,
  zstd,
  callPackage,
  ccvm-tui-library,
  # Nix inside guests: `enable`, `substituters`, `trustedPublicKeys`
  nix,
  # packages that are installed in guests
  extraPackages ? [ ],
  # NixOS modules for guests
  extraGuestModules ? [ ],
}:
let
  guest = nixos {
    imports = [
      ./options.nix
      ./system.nix
      ./nix.nix
    ]
    ++ extraGuestModules;
    ccvm.guest = { inherit nix extraPackages; };
  };
  inherit (guest) config;
  inherit (config.boot.kernelPackages) kernel;

  inherit (pkgsStatic) busybox;
  builder = python3.withPackages (_: [ ccvm-tui-library ]);
  rootfs = callPackage ./rootfs.nix {
    inherit config busybox builder;
    guestPython = config.ccvm.guest.python;
  };
in
runCommand "ccvm-guest-image"
  {
    nativeBuildInputs = [
      binutils
      builder
      xz
      zstd
    ];
    passthru = { inherit config rootfs; };
    meta = {
      description = "Guest image of ccvm-tui with NixOS";
      platforms = [ "x86_64-linux" ];
    };
  }
  ''
    # the files of the kernel, arranged as in a bootstrap of a recipe's image
    mkdir -p kernel/modules
    cp -rL --no-preserve=mode ${config.system.modulesTree}/lib/modules/${kernel.modDirVersion} kernel/modules/
    find kernel/modules -name '*.ko.zst' -exec zstd -q -d --rm {} +
    sed -i 's/\.ko\.zst/.ko/g' kernel/modules/*/modules.dep
    strip --strip-debug -o kernel/vmlinuz ${kernel.dev}/vmlinux
    cp ${busybox}/bin/busybox kernel/busybox
    tar -cf kernel.tar kernel

    mkdir $out
    cp ${rootfs} $out/rootfs.squashfs
    python3 ${./assemble.py} --suite ${config.system.nixos.release} kernel.tar $out
  ''
