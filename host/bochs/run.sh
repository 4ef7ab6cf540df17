#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh MODEL START GUEST [--smp N] [--mem MIB] [--append STRING]: runs a guest on a CPU of Bochs
#
# START is what program.sh prints for MODEL, with \037 in place of each newline. The guest is booted by a ROM (rom/) and speaks at port 0xe9, which goes
# to stdout as it comes. The status is the guest's own (lib/x86/platform.h); 125 if Bochs cannot do what it
# was asked, 126 if the guest died by a triple fault. Bochs's log stays in $VMABI_SCRATCH, if that is set, as
# long as that folder.
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
		romimage: file=rom
		vgaromimage: file=/dev/null
		clock: sync=none
		speaker: enabled=0
		sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
		port_e9_hack: enabled=1
		log: /dev/fd/3
		panic: action=fatal$cpus
		error: action=report
		info: action=ignore
		debug: action=ignore
	END
}

# Bochs 2.7 of Debian begins in its debugger, and has commands from this file.
debugger_commands() {
	echo continue
}

# Its banner, and what the debugger of 2.7 says before the guest starts.
without_banner() {
	sed -u -e '/^([0-9]*)[. ]*\[/d' -e '/^TAP version/,$b' -e '/^=\|^  *\|^Next at/d'
}

# Bochs keeps running where it says that the guest cannot.
watch_log() { # LOG PID
	local line
	status=125 said=
	while read -r line <&"$1"; do
		case $line in
		*'vmabi: status '*)
			status=${line##*status }
			return
			;;
		*'exception with no resolution'*)
			status=126
			said="the guest died by a triple fault: ${line#*]}"
			break
			;;
		*'>>PANIC<<'*) said=${line#*>>PANIC<<} ;;
		esac
	done
}

# What Bochs said last of all, on its way out.
last_words() {
	sed -n '/exiting with the following message/{n;p;q}' errors | sed 's/^\[[^]]*\] *//'
}

clear_up() {
	# The shell would report the end of Bochs in words of its own.
	{
		[[ -z $pid ]] || kill -KILL "$pid" || true
		wait
	} 2>/dev/null
	[[ -z $own_scratch ]] || rm -rf "$own_scratch"
}

(($# >= 3)) || {
	echo "usage: run.sh MODEL START GUEST [--smp N] [--mem MIB] [--append STRING]" >&2
	exit 2
}
model=$1 guest=$(realpath -- "$3")
IFS=$'\037' read -ra words <<<"$2"
shift 3
smp=1 mem=64
for ((i = 1; i < $#; i++)); do
	case ${!i} in
	--smp) ((++i)) && smp=${!i} ;;
	--mem) ((++i)) && mem=${!i} ;;
	esac
done

pid='' own_scratch=''
trap clear_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
scratch=${VMABI_SCRATCH-}
[[ $scratch ]] || scratch=$(mktemp -d) || die "there is no room for temporary files in ${TMPDIR:-/tmp}"
[[ ${VMABI_SCRATCH-} ]] || own_scratch=$scratch
cd "$scratch"
"$rom" "$@" "$guest" 2>errors >rom || die "$(tail -n 1 errors)"
configuration "$model" "$smp" "$mem" >bochsrc
debugger_commands >commands
mkfifo log output
without_banner <output &
filter=$!
"${words[@]:1}" </dev/null >output 2>errors 3>log &
pid=$!
exec 4<log
watch_log 4
kill -KILL "$pid" 2>/dev/null || true
{ wait "$pid" || true; } 2>/dev/null
pid=
wait "$filter"
((status >= 125)) || exit "$status"
die "${said:-$(last_words)}"
