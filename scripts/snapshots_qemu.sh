# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# How QEMU boots L1 and saves it. Sourced, beside snapshots.sh, by the snapshot.sh of each host that runs in QEMU.
#
# Such a script sets $memory (MiB) and $boot_limit (seconds), and defines boot_command, which prints QEMU's command
# line, one word a line (host/nested/machine.sh says what is in which file descriptor), and boot_failure FOLDER WHAT,
# which says why L1 is not ready and ends the script.
#
# shellcheck disable=SC2154

# QEMU would be killed by a write to a mapped file that finds no room, so that is tried out before,
# where the file system can tell. The files have holes, and stay smaller.
make_room() { # FOLDER
	local said
	said=$(fallocate -l "${memory}M" "$1/ram" 2>&1) || [[ $said == *"not supported"* ]] || {
		echo "$said"
		return 1
	}
	rm -f "$1/ram" &&
		truncate -s "${memory}M" "$1/ram" &&
		truncate -s 32M "$1/mailbox"
}

# QEMU starts in the folder, does not outlive this script, and speaks QMP over the coprocess.
start_qemu() { # FOLDER
	local words
	mapfile -t words < <(boot_command)
	coproc monitor {
		cd "$1" || exit
		exec setpriv --pdeathsig KILL "${words[@]}" 3<>mailbox 4>>console 2>errors 9>&-
	}
	pid=$monitor_PID
}

wait_until_ready() { # FOLDER
	local end=$((SECONDS + boot_limit)) start=${EPOCHREALTIME/[.,]/}
	until grep -qsx l1-ready "$1/output"; do
		kill -0 "$pid" 2>/dev/null || boot_failure "$1" "QEMU ended"
		((SECONDS < end)) || boot_failure "$1" "it is not ready after $boot_limit s"
		sleep 0.05
	done
	say "L1 is up after $(((${EPOCHREALTIME/[.,]/} - start) / 1000)) ms"
	# The kernel has something to finish; what it does now no restored machine has to do.
	sleep 0.5
}

tell_qemu() { # COMMAND [ARGUMENTS]
	echo "{\"execute\":\"$1\"${2:+,\"arguments\":$2}}" >&"${monitor[1]}"
}

save_machine() { # FOLDER
	local line
	tell_qemu qmp_capabilities
	tell_qemu migrate-set-capabilities '{"capabilities":[{"capability":"events","state":true},
		{"capability":"x-ignore-shared","state":true}]}'
	tell_qemu migrate-set-parameters '{"max-bandwidth":1099511627776}'
	tell_qemu migrate '{"uri":"exec:cat >state"}'
	while read -r -t 60 line <&"${monitor[0]}"; do
		case $line in
		*'"error"'* | *'"status": "failed"'*) boot_failure "$1" "QEMU cannot save it: $line" ;;
		*'"status": "completed"'*)
			tell_qemu quit
			wait "$pid" || true
			pid=
			# What is zero need not be kept, whoever wrote it.
			fallocate --dig-holes "$1/ram" 2>/dev/null || true
			return
			;;
		esac
	done
	boot_failure "$1" "QEMU does not save it within 60 s"
}
