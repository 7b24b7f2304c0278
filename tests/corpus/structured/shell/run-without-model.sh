#!/bin/sh
set -eu
opencode run "fix the tests"
