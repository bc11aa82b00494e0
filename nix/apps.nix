# The output `apps` of one system: `nix run .` and `nix run .#ccvm`.
{ lib, pkgs }:
let
  package = (import ./packages.nix { inherit lib pkgs; }).default;
  app = name: {
    type = "app";
    program = "${package}/bin/${name}";
    meta = { inherit (package.meta) description; };
  };
in
{
  default = app "ccvm-tui";
  ccvm-tui = app "ccvm-tui";
  ccvm = app "ccvm";
}
