# The output `checks` of one system: what `./dev test` checks without network, guests and root, each as a derivation of
# its own, and the formatter and the linters that only nixpkgs has.
{ lib, pkgs }:
let
  packages = import ../packages.nix { inherit lib pkgs; };

  source = lib.fileset.toSource {
    root = ../../.;
    fileset = lib.fileset.unions [
      ../../.github
      ../../.editorconfig
      ../../CHANGELOG.md
      ../../CONTRIBUTING.md
      ../../LICENSE
      ../../README.md
      ../../SECURITY.md
      ../../assets
      ../../bench
      ../../ccvm_tui
      ../../dev
      ../../docs
      ../../flake.nix
      ../../hatch_build.py
      ../../nix
      ../../pyproject.toml
      ../../reference
      ../../tests
      ../../tools
    ];
  };

  python = pkgs.python3.withPackages (
    ps:
    pkgs.ccvm-tui-library.dependencies
    ++ [
      ps.coverage
      ps.furo
      ps.hatchling
      ps.hypothesis
      ps.mypy
      ps.myst-parser
      ps.pip
      ps.pytest
      ps.pytest-asyncio
      ps.pytest-timeout
      ps.pytest-xdist
      ps.pyyaml
      ps.sphinx
      ps.types-psutil
      ps.types-pyyaml
    ]
  );

  check =
    name: tools: script:
    pkgs.runCommand "ccvm-check-${name}" { nativeBuildInputs = [ python ] ++ tools; } ''
      cp -r ${source} source
      chmod -R u+w source
      cd source
      export HOME=$NIX_BUILD_TOP XDG_CACHE_HOME=$NIX_BUILD_TOP/cache
      export PYTHONPATH=$PWD PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1
      ${script}
      touch $out
    '';

  pytest =
    name: tools: paths:
    check name tools "python -m pytest -q -p no:cacheprovider ${lib.escapeShellArgs paths}";
in
{
  format =
    check "format"
      [
        pkgs.nixfmt
        pkgs.ruff
      ]
      ''
        ruff format --check .
        find . -name '*.nix' -exec nixfmt --check {} +
      '';

  lint =
    check "lint"
      [
        pkgs.codespell
        pkgs.deadnix
        pkgs.ruff
        pkgs.shellcheck
        pkgs.statix
      ]
      ''
        ruff check .
        codespell
        grep -rlZE '^#!/(usr/)?bin/(env )?(busybox )?(ba)?sh' . | xargs -0 shellcheck
        deadnix --fail .
        statix check .
      '';

  types = check "types" [ ] "mypy";

  imports = check "imports" [ pkgs.import-linter ] "lint-imports --no-cache";

  unit = pytest "unit" [ pkgs.git ] (import ./tests.nix).unit;

  host = pytest "host" [ pkgs.qemu_kvm ] (import ./tests.nix).host;

  docs = check "docs" [ ] "sphinx-build -q -n -W --keep-going -c docs -b html . html";

  workflows =
    check "workflows"
      [
        pkgs.actionlint
        pkgs.shellcheck
        pkgs.zizmor
      ]
      ''
        actionlint .github/workflows/*.yml
        zizmor --offline --no-progress --quiet .github
      '';

  package = check "package" [ packages.default ] ''
    ccvm-tui version
    ccvm --ccvm-version
  '';
}
// lib.optionalAttrs (packages ? guest-image) {
  # Evaluates the whole system of the guest, but does not build it: that takes a gigabyte of downloads.
  image = pkgs.writeText "ccvm-check-image" (
    builtins.unsafeDiscardStringContext packages.guest-image.drvPath
  );
}
