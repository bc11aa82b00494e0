# A module system with the parts that the modules of this project use: imports, options with types and defaults,
# conditions, merging and priorities. Unlike the one of nixpkgs, it does not report where a definition is.
let
  inherit (builtins)
    attrNames
    concatLists
    concatMap
    concatStringsSep
    filter
    foldl'
    hasAttr
    isFunction
    isPath
    length
    listToAttrs
    mapAttrs
    removeAttrs
    ;
  types = import ./types.nix;

  inherit (import ./properties.nix) kind pushDown values;

  show = concatStringsSep ".";

  # Return a module as { imports, options, config }.
  load =
    args: module:
    if isPath module then
      load args (import module)
    else if isFunction module then
      load args (module args)
    else if module ? options || module ? config then
      {
        imports = module.imports or [ ];
        options = module.options or { };
        config = module.config or { };
      }
    else
      {
        imports = module.imports or [ ];
        options = { };
        config = removeAttrs module [ "imports" ];
      };

  collect =
    args: modules:
    concatMap (
      module:
      let
        loaded = load args module;
      in
      [ loaded ] ++ collect args loaded.imports
    ) modules;

  mergeOptions =
    loc: trees:
    let
      names = attrNames (foldl' (a: b: a // b) { } trees);
      at =
        name:
        let
          found = concatMap (tree: if hasAttr name tree then [ tree.${name} ] else [ ]) trees;
          here = loc ++ [ name ];
        in
        if length found == 1 && kind (builtins.head found) == "option" then
          builtins.head found
        else if builtins.any (tree: kind tree == "option") found then
          throw "The option `${show here}' is declared more than once"
        else
          mergeOptions here found;
    in
    listToAttrs (
      map (name: {
        inherit name;
        value = at name;
      }) names
    );

  mergeOption =
    loc: option: definitions:
    let
      given = values definitions;
    in
    if option.readOnly or false && length given > 1 then
      throw "The option `${show loc}' is read-only, but it's set multiple times"
    else if given != [ ] then
      types.checked option.type loc given
    else if option ? default then
      types.checked option.type loc [ option.default ]
    else
      throw "The option `${show loc}' was accessed but has no value defined";

  evalTree =
    loc: options: definitions:
    let
      sets = concatMap pushDown definitions;
      unknown = filter (name: !hasAttr name options) (concatLists (map attrNames sets));
    in
    if unknown != [ ] then
      throw "The option `${show (loc ++ [ (builtins.head unknown) ])}' does not exist"
    else
      mapAttrs (
        name: option:
        let
          own = concatMap (set: if hasAttr name set then [ set.${name} ] else [ ]) sets;
          here = loc ++ [ name ];
        in
        if kind option == "option" then mergeOption here option own else evalTree here option own
      ) options;

  eval =
    loc:
    {
      modules,
      specialArgs ? { },
    }:
    let
      args = {
        lib = import ./lib.nix;
        inherit config options;
      }
      // specialArgs;
      loaded = collect args modules;
      options = mergeOptions loc (map (module: module.options) loaded);
      config = evalTree loc options (map (module: module.config) loaded);
    in
    {
      inherit config options;
    };
in
{
  evalModules = eval [ ];
  evalAt = loc: args: (eval loc args).config;
}
