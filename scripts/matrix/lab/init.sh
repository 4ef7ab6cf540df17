#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The first and only process of a machine in a lab: runs each test on this machine's /dev/kvm, and says on the console
# what LAVA is to take for results (docs/lab.md):
#
#	vmabi-point RESULT TEST.NUMBER-WORDS	RESULT is pass, fail, skip or known
#
# with each point's TAP around it. The machine is powered off at the end.
export PATH=/bin HOME=/root VMABI_ON=local
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
ln -s /proc/self/fd /dev/fd
# Only one of kvm-amd.ko and kvm-intel.ko is this machine's.
while read -r module options; do
	# shellcheck disable=SC2086 # parameters are words
	[[ ! -e /modules/$module ]] || insmod "/modules/$module" $options 2>/dev/null
done </modules/order

# LAVA's names of results have no blanks, and are no longer than a column of its database.
point_name() { # TEST NUMBER DESCRIPTION
	local words=${3//[^A-Za-z0-9]/-}
	while [[ $words == *--* ]]; do
		words=${words//--/-}
	done
	words=${words#-}
	echo "$1.$2-${words:0:80}"
}

say_point() { # TEST LINE
	local line=$2 result=pass number description directive=''
	[[ $line != not* ]] || result=fail
	line=${line#not } line=${line#ok }
	number=${line%% *} description=${line#* }
	description=${description#- }
	if [[ $description =~ ^(.*[^\\])?' # '(SKIP|TODO)(.*)$ ]]; then
		description=${BASH_REMATCH[1]} directive=${BASH_REMATCH[2]}
	fi
	[[ $directive != SKIP ]] || result=skip
	[[ $directive != TODO || $result == pass ]] || result=known
	echo "vmabi-point $result $(point_name "$1" "$number" "$description")"
}

run_test() { # NAME
	local line points=0
	while IFS= read -r line; do
		echo "$line"
		case $line in
		'ok '* | 'not ok '*)
			say_point "$1" "$line"
			points=$((points + 1))
			;;
		'1..0 # SKIP'*)
			echo "vmabi-point skip $1.0-the-whole-test"
			points=$((points + 1))
			;;
		esac
	done < <(/vmabi/build/tests/"$1" 2>&1 </dev/null)
	((points)) || echo "vmabi-point fail $1.0-it-said-nothing"
}

# On the console it could stand in the middle of a line of a result; it is looked at in the end.
check_kernel_log() {
	local line result=pass
	while IFS= read -r line; do
		case $line in
		*WARNING:* | *BUG:* | *Oops:* | *'rcu: INFO:'* | *UBSAN:*)
			echo "$line"
			result=fail
			;;
		esac
	done < <(dmesg)
	echo "vmabi-point $result machine.1-the-kernel-log-shows-no-fault"
}

cd /vmabi || exit
echo 1 >/proc/sys/kernel/printk
echo "vmabi: ready: $(uname -r)"
echo "vmabi: begin"
if [[ -e /dev/kvm ]]; then
	while read -r test; do
		run_test "$test"
	done </vmabi/order
	check_kernel_log
else
	echo "vmabi-point fail machine.0-there-is-a-dev-kvm"
fi
echo "vmabi: end"
# What was written last is still on its way out of a serial port.
sleep 1
echo o >/proc/sysrq-trigger
sleep 60
