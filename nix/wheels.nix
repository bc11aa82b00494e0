# Python packages that nixpkgs lacks, or has in a version that is too old, from their wheels.
{
  lib,
  stdenv,
  autoPatchelfHook,
  buildPythonPackage,
  fetchPypi,
  cffi,
}:
let
  wheels = lib.importJSON ./wheels.json;
  inherit (stdenv.hostPlatform) system;

  wheel =
    pname: attributes:
    let
      inherit (wheels.${pname}) version python files;
      file =
        files.any or files.${system} or (throw "the package ${pname} has no wheel for ${system}");
    in
    buildPythonPackage (
      {
        inherit pname version;
        format = "wheel";
        src = fetchPypi {
          inherit pname version python;
          inherit (file) platform hash;
          format = "wheel";
          dist = python;
        };
      }
      // attributes
    );
in
{
  # the terminal emulator, a shared library that needs only the C library
  pyghostty = wheel "pyghostty" {
    nativeBuildInputs = [ autoPatchelfHook ];
    dependencies = [ cffi ];
    pythonImportsCheck = [ "pyghostty" ];
  };

  qemu-qmp = wheel "qemu_qmp" { pythonImportsCheck = [ "qemu.qmp" ]; };

  landlock = wheel "landlock" { pythonImportsCheck = [ "landlock" ]; };
}
