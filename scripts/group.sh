# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Commands that end with the script that runs them, however that ends. Sourced; $group is the process
# group that is running, if one is.

group=

# A script that starts one in the background has it ignore SIGINT, and a shell cannot undo that; so it
# starts anew. To be called with the script's own arguments, before anything is done.
heed_interrupts() {
	local ignored
	ignored=$(sed -n 's/^SigIgn:\t*//p' "/proc/$$/status")
	((!(0x$ignored & 2))) || exec env --default-signal=INT bash "$0" "$@"
}

# Runs a command in a process group of its own. The shell would otherwise see to a signal only after the
# command has ended by itself. A lock of the cache (cache.sh) is not handed on.
run_group() { # COMMAND...
	local status=0
	set -m
	"$@" 9>&- &
	group=$!
	set +m
	wait "$group" || status=$?
	group=
	return "$status"
}

# Ends what is running, if anything is. It may have things of its own to clear up, which is waited for.
end_group() {
	local i
	[[ $group ]] || return 0
	# The shell would report the end of the job in words of its own.
	{
		kill -TERM -- "-$group" || true
		for ((i = 0; i < 100; i++)); do
			kill -0 -- "-$group" || break
			sleep 0.05
		done
		kill -KILL -- "-$group" || true
		wait "$group" || true
	} 2>/dev/null
}
