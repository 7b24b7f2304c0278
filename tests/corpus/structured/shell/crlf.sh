#!/bin/sh
opencode serve
