{
  description = "A disposable QEMU microVM for every project, and one dashboard that runs them all";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      each = f: nixpkgs.lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      # what the program starts at run time: the machine, and the tools that build a guest image
      programs = pkgs: [
        pkgs.qemu_kvm
        pkgs.mmdebstrap
        pkgs.squashfsTools
        pkgs.util-linux
      ];
      # The emulator library is on no channel yet: pip brings it, with the rest of what pyproject.toml names.
    in
    {
      devShells = each (pkgs: {
        default = pkgs.mkShell {
          packages = programs pkgs ++ [
            pkgs.python3
            pkgs.tmux
            pkgs.zsh
            pkgs.vim
            pkgs.less
            pkgs.htop
            pkgs.openssh
            pkgs.shellcheck
          ];
          shellHook = ''
            [ -d .venv ] || python3 -m venv .venv
            . .venv/bin/activate
            pip install --quiet --editable '.[dev]'
          '';
        };
      });

      formatter = each (pkgs: pkgs.nixfmt-rfc-style);
    };
}
