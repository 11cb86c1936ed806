#!/bin/sh
# Copies ffmpeg, ffprobe and the libraries that they are linked to into a folder, laid out as in /.
# The distribution's package also brings drivers for graphics cards and a compiler for their
# shaders: half of its size, and decoding on the CPU loads none of it.
#
#   collect-ffmpeg.sh FOLDER KNOWN
#
# KNOWN lists the names of the libraries that the base image has already; they are left out.
set -eu
folder="$1" known="$2"

linked() { ldd /usr/bin/ffmpeg /usr/bin/ffprobe | awk '$2 == "=>" { print $3 }' | sort -u; }

install -D -t "$folder/usr/bin" /usr/bin/ffmpeg /usr/bin/ffprobe
owned="/usr/bin/ffmpeg"
for library in $(linked); do
  name="${library##*/}"
  if grep -qxF "$name" "$known"; then continue; fi
  install -D "$library" "$folder$(realpath "${library%/*}")/$name"
  owned="$owned $(realpath "$library")"
done

# What scanners for vulnerabilities read about packages that dpkg did not install, and the licences.
status="$folder/var/lib/dpkg/status.d"
mkdir -p "$status"
# shellcheck disable=SC2086 # a list of paths without spaces
for package in $(dpkg-query --search $owned 2>/dev/null | cut -d: -f1 | sort -u); do
  dpkg-query --status "$package" >"$status/$package"
  licence="/usr/share/doc/$package/copyright"
  if [ -e "$licence" ]; then install -D -m 0644 "$licence" "$folder$licence"; fi
done
