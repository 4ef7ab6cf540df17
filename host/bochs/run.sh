#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh MODEL START GUEST SMP MEM TIMEOUT APPEND: runs a guest on a CPU of Bochs
#
# START is what program.sh prints for MODEL, with \037 in place of each newline. The guest is booted by a ROM
# (rom/) and speaks at port 0xe9, which goes to stdout as it comes. The status is the guest's own
# (lib/x86/platform.h); as of vmrun 124 if it does not end within TIMEOUT seconds, 125 if Bochs cannot do what it
# was asked, 126 if the guest died by a triple fault.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
rom=$here/../../build/host/bochs/rom/rom

die() {
	echo "bochs: $*"
	exit "${status:-125}"
}

# A guest's time is made of instructions: so many are one second of its clocks.
instructions_per_second=10000000

# Nothing of the PC but what cannot be left out. What a CPU model panics about is told and passed over: 3.0
# panics where a guest with CR0.WP = 0 writes to a read-only page (cpu/paging.cc, update_access_dirty_PAE).
configuration() { # MODEL SMP MEM
	local cpu cpus=
	for ((cpu = 0; cpu < $2; cpu++)); do
		cpus+=", cpu$cpu=report"
	done
	cat <<-END
		config_interface: textconfig
		display_library: rfb, options="timeout=0"
		cpu: model=$1, count=$2, ips=$instructions_per_second, reset_on_triple_fault=0, ignore_bad_msrs=0
		memory: guest=$3, host=$3
		romimage: file=image
		vgaromimage: file=/dev/null
		clock: sync=none
		speaker: enabled=0
		sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
		port_e9_hack: enabled=1
		log: /dev/fd/3
		panic: action=fatal$cpus
		error: action=report
		info: action=ignore$cpus
		debug: action=ignore
	END
}

# Bochs 2.7 of Debian begins in its debugger, and has commands from this file.
debugger_commands() {
	echo continue
}

# Less what Bochs says at its start, and what the debugger of 2.7 does besides.
guest_output() {
	# shellcheck disable=SC2016 # $ is sed's
	sed -u -e '/^([0-9]*)[. ]*\[\|^Next at t=\|^<bochs:\|^fgets() returned\|^debugger interrupt/d' \
		-e '/^TAP version/,$b' -e '/^=\|^  */d'
}

# Bochs keeps running where it says that the guest cannot. Sets $status and $said.
watch_log() { # LOG TIMEOUT
	local line end=$((SECONDS + $2)) halted='' read_status
	status=125 said=
	while :; do
		read_status=0
		read -r -t "$((end > SECONDS ? end - SECONDS : 1))" line <&"$1" || read_status=$?
		if ((read_status > 128 || SECONDS > end)); then
			status=124
			said="the guest did not end within $2 s${halted:+: it is halted with interrupts off}"
			return
		fi
		((!read_status)) || return 0
		halted=''
		case $line in
		*'HLT instruction with IF=0'*) halted=yes ;;
		*'vmabi: status '*)
			status=${line##*status }
			return
			;;
		*'exception with no resolution'*)
			status=126
			said="the guest died by a triple fault (${line#*'): '})"
			return
			;;
		*'>>PANIC<<'*) said=${line#*>>PANIC<<} ;;
		esac
	done
}

# What Bochs said last of all, on its way out.
last_words() {
	sed -n '/exiting with the following message/{n;p;q}' errors | sed 's/^\[[^]]*\] *//'
}

# shellcheck disable=SC2317 # the trap calls it
clear_up() {
	# The shell would report the end of Bochs in words of its own.
	{
		[[ -z $pid ]] || kill -KILL "$pid" || true
		wait
	} 2>/dev/null
	[[ -z $own_scratch ]] || rm -rf "$own_scratch"
}

(($# == 7)) || {
	echo "usage: run.sh MODEL START GUEST SMP MEM TIMEOUT APPEND" >&2
	exit 2
}
model=$1 guest=$(realpath -- "$3") smp=$4 mem=$5 timeout=$6 append=$7
IFS=$'\037' read -ra words <<<"$2"

pid='' own_scratch=''
trap clear_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
scratch=${VMABI_SCRATCH-}
[[ $scratch ]] || scratch=$(mktemp -d) || die "there is no room for temporary files in ${TMPDIR:-/tmp}"
[[ ${VMABI_SCRATCH-} ]] || own_scratch=$scratch
cd "$scratch"
said=$("$rom" --smp "$smp" --mem "$mem" --append "$append" "$guest" 2>&1 >image) || die "$said"
configuration "$model" "$smp" "$mem" >bochsrc
debugger_commands >commands
mkfifo log output
guest_output <output &
filter=$!
"${words[@]:1}" </dev/null >output 2>errors 3>log &
pid=$!
exec 4<log
watch_log 4 "$timeout"
kill -KILL "$pid" 2>/dev/null || true
{ wait "$pid" || true; } 2>/dev/null
pid=
wait "$filter"
((status >= 124)) || exit "$status"
die "${said:-$(last_words)}"
