# A stub of nixpkgs: a flake input with the functions and packages that are listed in nixpkgs-attributes.toml. An
# attribute that is not listed does not exist.
{
  lib ? import ./lib.nix,
  types ? import ./types.nix,
}:
let
  listed = builtins.fromTOML (builtins.readFile ../nixpkgs-attributes.toml);

  packagesOf =
    system:
    let
      derivations = import ./derivations.nix { inherit system; };
      inherit (derivations) callWith derivationOf fake;

      fakes = prefix: names: builtins.mapAttrs (name: _: fake "${prefix}${name}" { }) names;

      python3Packages = fakes "python3-" listed.python // {
        buildPythonPackage =
          attributes:
          derivationOf (attributes // { meta = attributes.meta or { }; });
        fetchPypi =
          {
            pname,
            version,
            format,
            dist,
            python,
            platform,
            hash,
          }:
          # as in nixpkgs: a derivation with a fixed output
          derivation {
            name = "${pname}-${version}-${python}-none-${platform}.whl";
            inherit system dist format;
            builder = "/bin/sh";
            outputHash = hash;
            outputHashMode = "flat";
          };
        callPackage = callWith (base // python3Packages);
      };

      base = fakes "" listed.packages // {
        inherit lib python3Packages;
        stdenv.hostPlatform = {
          inherit system;
          isx86_64 = system == "x86_64-linux";
        };
        python3 = fake "python3" {
          interpreter = "${fake "python3" { }}/bin/python3";
          withPackages =
            choose:
            fake "python3-env" { } // derivationOf {
              name = "python3-env";
              packages = choose python3Packages;
              meta = { };
            };
        };
        pkgsStatic.busybox = fake "busybox-static" { };
        closureInfo =
          { rootPaths }:
          derivationOf {
            name = "closure-info";
            packages = rootPaths;
            meta = { };
          };
        runCommand =
          name: environment: script:
          derivationOf (
            {
              inherit name;
              meta = { };
            }
            // environment
            // {
              buildCommand = script;
              inherit name;
            }
          );
        writeText =
          name: text:
          derivationOf {
            inherit name text;
            meta = { };
          };
        mkShell =
          attributes:
          derivationOf (
            {
              name = "nix-shell";
              meta = { };
            }
            // attributes
          );
        nixos = import ./nixos.nix {
          inherit lib types fake;
          inherit (listed) nixos;
          pkgs = base;
        };
      };

      extended =
        overlay:
        let
          final = base // overlay final base // { callPackage = callWith final; };
        in
        final;
    in
    base // { extend = extended; };
in
{
  inherit lib;
  legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] packagesOf;
}
