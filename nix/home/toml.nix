# A writer of TOML for the values that settings have: strings, numbers, booleans and lists of them. The writer of nixpkgs
# (`pkgs.formats.toml`) runs a program in a build, so its output cannot be read during evaluation, as the tests do.
{ lib }:
let
  # Each JSON string is also a TOML string with the same value, except for the character DEL.
  value = builtins.toJSON;
  key = name: if builtins.match "[A-Za-z0-9_-]+" name != null then name else value name;
  pair = name: v: "${key name} = ${value v}\n";
  pairs = attributes: lib.concatStrings (lib.mapAttrsToList pair attributes);
in
{
  # Return the text of a file with the values `top`, and the tables `sections`: a list of { path, values }.
  render =
    {
      top,
      sections,
    }:
    let
      section =
        { path, values }:
        lib.optionalString (values != { }) (
          "\n[${lib.concatMapStringsSep "." key path}]\n" + pairs values
        );
    in
    pairs top + lib.concatMapStrings section sections;
}
