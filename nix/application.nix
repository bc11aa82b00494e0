# The commands `ccvm-tui` and `ccvm`, with the programs that they run on their PATH.
#
# The interpreter of an environment is used, because the program starts its own modules with `sys.executable`, which must
# find the same packages.
{
  lib,
  runCommand,
  makeWrapper,
  python3,
  ccvm-tui-library,
  qemu_kvm,
  mmdebstrap,
  nodejs,
  squashfsTools,
  util-linux,
  guestImage ? null,
}:
let
  environment = python3.withPackages (_: [ ccvm-tui-library ]);
  programs = [
    qemu_kvm
    # build of images and agent layers
    mmdebstrap
    nodejs
    squashfsTools
    util-linux
  ];
  arguments = [
    "--prefix"
    "PATH"
    ":"
    (lib.makeBinPath programs)
  ]
  ++ lib.optionals (guestImage != null) [
    "--set-default"
    "CCVM_DEFAULT_IMAGE"
    "${guestImage}"
  ];
in
runCommand "ccvm-tui-${ccvm-tui-library.version}"
  {
    inherit (ccvm-tui-library) meta version;
    pname = "ccvm-tui";
    nativeBuildInputs = [ makeWrapper ];
    passthru = { inherit environment guestImage programs; };
  }
  ''
    mkdir -p $out/bin
    for name in ccvm-tui ccvm; do
      makeWrapper ${environment}/bin/$name $out/bin/$name ${lib.escapeShellArgs arguments}
    done
  ''
