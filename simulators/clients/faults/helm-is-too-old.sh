#!/bin/sh
# Stands in for Helm, whatever it is asked: one just older than the guide asks for.
echo 'version.BuildInfo{Version:"v3.4.1", GitCommit:"", GitTreeState:"clean", GoVersion:"go1.14.11"}'
