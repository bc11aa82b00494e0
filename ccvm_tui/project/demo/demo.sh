#!/bin/sh
# The demo of ccvm-tui: a program that works for a while, and then has a question.
#
# usage: ./demo.sh [STEPS [SECONDS]]
set -eu

steps=${1:-20}
seconds=${2:-1}
detach=@DETACH@

say() { printf '%s\n' "$*"; }

printf '\033]2;demo\007'
say "This program runs on $(uname -n), with $(uname -sr). It sees $(pwd)"
say 'and no other directory of your machine.'
say ''
say "It works for $steps steps. Press $detach now:"
say 'it continues without you.'
say ''

step=1
while [ "$step" -le "$steps" ]; do
    say "step $step of $steps"
    sleep "$seconds"
    step=$((step + 1))
done

say ''
printf 'Shall the demo end? [y/n] '
# A desktop notification (OSC 9): the session is waiting from now on, and the dashboard shows this text as the reason.
printf '\033]9;%s\007' 'the demo has a question'

while read -r answer; do
    case $answer in
        [yY]*)
            say 'The question was answered, so nothing is waiting for you any longer. The guest stops with its last'
            say 'session, and everything outside of the project is discarded.'
            exit 0
            ;;
        *)
            say "Then leave again, with $detach. The lines above will still be there."
            printf 'Shall the demo end? [y/n] '
            ;;
    esac
done
