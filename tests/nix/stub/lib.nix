# The functions of nixpkgs' `lib` that this project uses, and no others. A test compares the names with
# nixpkgs-attributes.toml, which says where nixpkgs defines them; CCVM_NIXPKGS_LIB runs the tests with the real ones.
let
  inherit (builtins)
    attrNames
    concatStringsSep
    elemAt
    filter
    foldl'
    fromJSON
    getAttr
    head
    isString
    length
    listToAttrs
    mapAttrs
    match
    pathExists
    readFile
    replaceStrings
    split
    ;
  allTypes = import ./types.nix;

  fix =
    path: value:
    if path == [ ] then
      value
    else
      {
        ${head path} = fix (builtins.tail path) value;
      };

  show = concatStringsSep ".";

  startsWith = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;

  escapeShellArg =
    argument:
    if match "[[:alnum:],._+:@%/-]+" argument != null then
      argument
    else
      "'${replaceStrings [ "'" ] [ "'\\''" ] argument}'";

  # the text that the real function uses for an option without a definition
  undefined = "_mkMergedOptionModule";
in
rec {
  inherit (import ./modules.nix) evalModules;
  inherit (builtins) concatLists;
  inherit
    attrNames
    filter
    head
    listToAttrs
    mapAttrs
    ;
  concatMapStrings = f: list: concatStrings (map f list);
  concatMapStringsSep =
    separator: f: list:
    concatStringsSep separator (map f list);
  concatStrings = concatStringsSep "";
  escapeShellArgs = list: concatStringsSep " " (map escapeShellArg list);
  fileset = {
    unions = map (
      path: if pathExists path then path else throw "${toString path} does not exist"
    );
    toSource =
      { root, fileset }:
      builtins.path {
        name = "source";
        path = root;
        filter =
          path: _:
          builtins.any (
            file:
            startsWith (toString file + "/") (path + "/") || startsWith (path + "/") (toString file + "/")
          ) fileset;
      };
  };
  genAttrs =
    names: f:
    listToAttrs (
      map (name: {
        inherit name;
        value = f name;
      }) names
    );
  importJSON = path: fromJSON (readFile path);
  last = list: elemAt list (length list - 1);
  licenses.mit = {
    spdxId = "MIT";
  };
  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };
  makeBinPath = packages: concatStringsSep ":" (map (package: "${package}/bin") packages);
  mapAttrsToList = f: attributes: map (name: f name attributes.${name}) (attrNames attributes);
  mkChangedOptionModule =
    from: to: change:
    { config, ... }:
    let
      given = foldl' (set: name: getAttr name set) config from != undefined;
    in
    {
      options = fix from (mkOption {
        type = allTypes.raw;
        default = undefined;
      });
      config = fix to (mkMerge (optional given (change config))) // {
        warnings = optional given "The option `${show from}' has been changed to `${show to}'";
      };
    };
  mkForce = content: {
    _type = "override";
    priority = 50;
    inherit content;
  };
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOption = attributes: attributes // { _type = "option"; };
  nameValuePair = name: value: { inherit name value; };
  optional = condition: value: if condition then [ value ] else [ ];
  optionalAttrs = condition: attributes: if condition then attributes else { };
  optionalString = condition: text: if condition then text else "";
  optionals = condition: list: if condition then list else [ ];
  splitString =
    separator: text: filter isString (split (replaceStrings [ "." ] [ "\\." ] separator) text);
  types = {
    inherit (allTypes)
      attrsOf
      bool
      deferredModule
      enum
      ints
      listOf
      nullOr
      package
      str
      strMatching
      submodule
      ;
  };
}
