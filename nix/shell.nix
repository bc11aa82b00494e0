# The development shell. `./dev` finds its tools there; pip brings the Python packages that pyproject.toml names, as it
# does everywhere else.
{
  mkShell,
  python3,
  qemu_kvm,
  mmdebstrap,
  nodejs,
  squashfsTools,
  util-linux,
  tmux,
  zsh,
  vim,
  less,
  htop,
  cpio,
  git,
  openssh,
  librsvg,
  nixfmt,
  statix,
  deadnix,
}:
mkShell {
  packages = [
    python3
    # programs that guests and builds of images need
    qemu_kvm
    mmdebstrap
    nodejs
    squashfsTools
    util-linux
    # programs that tests compare with, or that draw the pictures
    tmux
    zsh
    vim
    less
    htop
    cpio
    git
    openssh
    librsvg
    # tools for the files in ./nix
    nixfmt
    statix
    deadnix
  ];
  shellHook = ''
    [ -d .venv ] || python3 -m venv .venv
    . .venv/bin/activate
    pip install --quiet --editable '.[dev]'
  '';
}
