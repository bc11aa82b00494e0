# Conditions, merging and priorities: the properties that definitions of options can have.
let
  inherit (builtins)
    concatMap
    filter
    foldl'
    isAttrs
    mapAttrs
    ;

  kind = value: if isAttrs value then value._type or "" else "";

  defaultPriority = 100;

  # Return attribute sets of definitions: conditions and priorities of a set are moved to its attributes.
  pushDown =
    definition:
    {
      "if" = concatMap (
        set: [
          (mapAttrs (_: content: {
            _type = "if";
            inherit (definition) condition;
            inherit content;
          }) set)
        ]
      ) (pushDown definition.content);
      merge = concatMap pushDown definition.contents;
      override = map (mapAttrs (_: content: definition // { inherit content; })) (
        pushDown definition.content
      );
    }
    .${kind definition} or [ definition ];

  # Return the values of a definition with their priorities.
  discharge =
    priority: definition:
    {
      "if" = if definition.condition then discharge priority definition.content else [ ];
      merge = concatMap (discharge priority) definition.contents;
      override = discharge definition.priority definition.content;
    }
    .${kind definition} or [
      {
        inherit priority;
        value = definition;
      }
    ];
in
{
  inherit kind pushDown;

  # Return the values of the definitions with the highest priority.
  values =
    definitions:
    let
      found = concatMap (discharge defaultPriority) definitions;
      highest = foldl' (a: d: if d.priority < a then d.priority else a) 9999 found;
    in
    map (d: d.value) (filter (d: d.priority == highest) found);
}
