# The Python package, without the programs that it runs.
{
  lib,
  buildPythonPackage,
  callPackage,
  hatchling,
  asyncssh,
  cryptography,
  h11,
  inotify-simple,
  msgspec,
  platformdirs,
  psutil,
  shtab,
  textual,
  tomli-w,
}:
let
  wheels = callPackage ./wheels.nix { };
  version = lib.head (
    builtins.match ".*__version__ = \"([^\"]+)\".*" (builtins.readFile ../ccvm_tui/__init__.py)
  );
in
buildPythonPackage {
  pname = "ccvm-tui";
  inherit version;
  pyproject = true;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../ccvm_tui
      ../hatch_build.py
      ../reference
      ../pyproject.toml
      ../README.md
      ../LICENSE
    ];
  };

  build-system = [ hatchling ];

  dependencies = [
    asyncssh
    cryptography
    h11
    inotify-simple
    msgspec
    platformdirs
    psutil
    shtab
    textual
    tomli-w
    wheels.landlock
    wheels.pyghostty
    wheels.qemu-qmp
  ];

  pythonImportsCheck = [
    "ccvm_tui.cli"
    "ccvm_tui.keeper"
    "ccvm_tui.tui"
  ];

  meta = {
    description = "A disposable QEMU microVM for every project, and one dashboard that runs them all";
    license = lib.licenses.mit;
    platforms = [
      "x86_64-linux"
      "aarch64-linux"
    ];
    mainProgram = "ccvm-tui";
  };
}
