# Types of options. A type has a `name`, a predicate `check`, and a function `merge` of the option's location and the list
# of its definitions, which have passed the check.
let
  inherit (builtins)
    all
    concatLists
    concatStringsSep
    elem
    elemAt
    filter
    isAttrs
    isBool
    isInt
    isList
    isString
    length
    mapAttrs
    match
    zipAttrsWith
    ;

  one =
    loc: definitions:
    if length definitions == 1 || all (d: d == elemAt definitions 0) definitions then
      elemAt definitions 0
    else
      throw "The option `${concatStringsSep "." loc}' has conflicting definition values";

  plain = name: check: {
    inherit name check;
    merge = one;
  };

  properties = import ./properties.nix;

  removeEmpty =
    set: removeAttrs set (filter (name: set.${name} == [ ]) (builtins.attrNames set));

  isDerivation = value: isAttrs value && value.type or null == "derivation";

  checked =
    type: loc: definitions:
    type.merge loc (
      map (
        value:
        if type.check value then
          value
        else
          throw "A definition for option `${concatStringsSep "." loc}' is not of type `${type.name}'"
      ) definitions
    );
in
rec {
  inherit checked;

  raw = plain "any value" (_: true);
  bool = plain "boolean" isBool;
  int = plain "signed integer" isInt;
  ints = {
    positive = plain "positive integer" (v: isInt v && v > 0);
    between = low: high: plain "integer between two bounds" (v: isInt v && low <= v && v <= high);
  };
  str = plain "string" isString;
  lines = str // {
    merge = _: concatStringsSep "\n";
  };
  strMatching =
    pattern: plain "string matching ${pattern}" (v: isString v && match pattern v != null);
  enum = values: plain "one of a list" (v: elem v values);
  package = plain "package" isDerivation;
  path = plain "absolute path" (v: isDerivation v || match "/.*" (toString v) != null);

  nullOr = type: {
    name = "null or ${type.name}";
    check = v: v == null || type.check v;
    merge =
      loc: definitions:
      if all (d: d == null) definitions then null else checked type loc definitions;
  };

  listOf = type: {
    name = "list of ${type.name}";
    check = isList;
    merge =
      loc: definitions: map (v: checked type (loc ++ [ "*" ]) [ v ]) (concatLists definitions);
  };

  attrsOf = type: {
    name = "attribute set of ${type.name}";
    check = isAttrs;
    # attributes whose conditions are all false do not exist
    merge =
      loc: definitions:
      mapAttrs (name: checked type (loc ++ [ name ])) (
        removeEmpty (zipAttrsWith (_: properties.values) definitions)
      );
  };

  deferredModule = {
    name = "module";
    check = v: isAttrs v || builtins.isFunction v || builtins.isPath v;
    merge = _: definitions: { imports = definitions; };
  };

  submodule = module: {
    name = "submodule";
    check = v: isAttrs v || builtins.isFunction v;
    merge = loc: definitions: (import ./modules.nix).evalAt loc {
      modules = [ module ] ++ definitions;
    };
  };
}
