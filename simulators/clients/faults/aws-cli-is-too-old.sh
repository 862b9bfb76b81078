#!/bin/sh
# Stands in for the AWS CLI, whatever it is asked: one just older than the guide asks for, of both its lines.
echo 'aws-cli/1.27.80 Python/3.9.16 Linux/5.10 botocore/1.29.80'
