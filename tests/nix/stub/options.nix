# A module that declares options of NixOS or home-manager from a list of their types by name.
{
  types,
  declarations,
}:
{ lib, ... }:
let
  named = {
    inherit (types)
      bool
      lines
      package
      path
      raw
      str
      ;
    "listOf str" = types.listOf types.str;
    "listOf package" = types.listOf types.package;
    "listOf raw" = types.listOf types.raw;
    "attrsOf path" = types.attrsOf types.path;
    "attrsOf raw" = types.attrsOf types.raw;
    "attrsOf attrs" = types.attrsOf (types.attrsOf types.raw);
  };

  defaults = {
    bool = false;
    lines = "";
    str = "";
  };
  defaultOf = type: if builtins.substring 0 6 type == "listOf" then [ ] else { };

  optionOf =
    declaration:
    lib.mkOption (
      {
        type = named.${declaration.type};
      }
      // lib.optionalAttrs (!declaration.computed or false) {
        default = defaults.${declaration.type} or (defaultOf declaration.type);
      }
    );

  # the tree of attributes with `value` at `path`
  at =
    path: value:
    if path == [ ] then value else { ${builtins.head path} = at (builtins.tail path) value; };
  parts = name: builtins.filter builtins.isString (builtins.split "\\." name);
  merge =
    a: b:
    a
    // builtins.mapAttrs (
      name: value: if a ? ${name} && !(a.${name} ? _type) then merge a.${name} value else value
    ) b;
in
{
  options = builtins.foldl' merge { } (
    map (name: at (parts name) (optionOf declarations.${name})) (builtins.attrNames declarations)
  );
}
