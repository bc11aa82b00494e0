# Derivations that can be evaluated and not built. All attributes are forced, as by the real functions.
{ system }:
rec {
  # The attributes that the real function does not pass to the builder.
  notPassed = [
    "meta"
    "passthru"
    "dependencies"
    "build-system"
    "nativeBuildInputs"
    "packages"
  ];

  derivationOf =
    attributes:
    let
      inputs = builtins.concatMap (name: attributes.${name} or [ ]) [
        "dependencies"
        "build-system"
        "nativeBuildInputs"
        "packages"
      ];
      made = derivation (
        removeAttrs attributes notPassed
        // {
          inherit system inputs;
          name = attributes.name or "${attributes.pname}-${attributes.version}";
          builder = "/bin/sh";
        }
      );
    in
    builtins.deepSeq (attributes.meta or { }) (
      made
      // attributes.passthru or { }
      // {
        inherit (attributes) meta;
      }
      // (if attributes ? version then { inherit (attributes) version; } else { })
      // (if attributes ? dependencies then { inherit (attributes) dependencies; } else { })
    );

  # A package of nixpkgs.
  fake =
    name: extra:
    derivation {
      name = "nixpkgs-${builtins.replaceStrings [ "." ] [ "-" ] name}";
      inherit system;
      builder = "/bin/sh";
    }
    // extra;

  # A function whose result can be called again with other arguments, as `override`.
  overridable =
    f: arguments:
    f arguments
    // {
      override = changes: overridable f (arguments // changes);
    };

  # Call a function with the packages that its arguments name.
  callWith =
    packages: function: arguments:
    let
      f = if builtins.isFunction function then function else import function;
      wanted = builtins.functionArgs f;
      missing = builtins.filter (
        name: !wanted.${name} && !(packages ? ${name}) && !(arguments ? ${name})
      ) (builtins.attrNames wanted);
    in
    if missing != [ ] then
      throw "nixpkgs has no package, or the list has none, for: ${toString missing}"
    else
      overridable f (builtins.intersectAttrs wanted packages // arguments);
}
