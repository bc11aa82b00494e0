{
  description = "A disposable QEMU microVM for every project, and one dashboard that runs them all";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      pkgsFor = system: nixpkgs.legacyPackages.${system}.extend self.overlays.default;
      each = f: lib.genAttrs systems (system: f (pkgsFor system));
    in
    {
      overlays.default = import ./nix/overlay.nix;

      packages = each (pkgs: import ./nix/packages.nix { inherit lib pkgs; });

      apps = each (pkgs: import ./nix/apps.nix { inherit lib pkgs; });

      devShells = each (pkgs: {
        default = pkgs.callPackage ./nix/shell.nix { };
      });

      checks = each (pkgs: import ./nix/checks { inherit lib pkgs; });

      formatter = each (pkgs: pkgs.nixfmt-tree);

      homeModules.ccvm = import ./nix/home { inherit self; };
      homeModules.default = self.homeModules.ccvm;

      nixosModules.ccvm = import ./nix/nixos.nix { inherit self; };
      nixosModules.default = self.nixosModules.ccvm;
    };
}
