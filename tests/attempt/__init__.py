"""Tests of attempts, with real Git and keepers without a machine."""
