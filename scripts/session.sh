# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# One run of run_tests.sh: what it needs is made, prove runs the selected tests, and what came of it
# is told. Sourced by run_tests.sh.
#
# shellcheck disable=SC2154 # the options are run_tests.sh's, the hosts' names are hosts.sh's

# What would fail only after all the work, or in words that hide the cause, is tried out before.
check_places() {
	work=
	trap '[[ -z $work ]] || rm -rf "$work"' EXIT
	if ! work=$(mktemp -d 2>/dev/null) || ! head -c 1M /dev/zero 2>/dev/null >"$work/probe"; then
		die "there is no room for temporary files in ${TMPDIR:-/tmp}; make some, or point TMPDIR elsewhere"
	fi
	rm "$work/probe"
	if [[ $tap_dir ]] && ! { mkdir -p "$tap_dir" && touch "$tap_dir/.new" && rm "$tap_dir/.new"; } 2>/dev/null; then
		die "cannot write to the folder $tap_dir (--tap-dir)"
	fi
	if [[ $junit ]] && ! { touch "$junit.new" && rm "$junit.new" && [[ ! -d $junit ]]; } 2>/dev/null; then
		die "cannot write $junit (--junit)"
	fi
}

# Everything that a test script takes for granted: tools, guests, the host it will be given.
prepare() {
	check_places
	"$top/scripts/tools.sh" install build run ${junit:+junit} || exit 1
	run_group build || exit 1
	if [[ $on == local ]]; then
		warn_of_local
	fi
	export VMABI_READY=
	# Whatever is known of it may be out of date, and say that no test can run.
	[[ -z $asked_kernel ]] || make_ready "$on" "$(kernel_for_vmm "$asked_kernel" "$vmm")"
	make_hosts_ready
}

# For each test; and says on which host, and which kernel or CPU, the tests are going to run.
make_hosts_ready() {
	local record requires hosts kernels place choice
	local -A count=()
	for record in "${selected[@]}"; do
		IFS=$'\037' read -r _ _ _ _ _ _ _ _ requires hosts kernels _ <<<"$record"
		choose_ready_host "$requires" "$hosts" "$kernels" "$on" "$asked_kernel" "$vmm" "$cpu"
		[[ $host ]] || continue
		place="$host $(host_choice "$host" "$kernel" "$cpu")"
		count[$place]=$((${count[$place]-0} + 1))
	done
	for place in "${!count[@]}"; do
		host=${place%% *} choice=${place#* }
		case $host in
		bochs) choice=", CPU $choice" ;;
		xen) choice=", $(kernel_version xen "$choice")" ;;
		nested | bochs-kvm) choice=", kernel $(kernel_version "$host" "$choice")" ;;
		esac
		echo "on the host $host$choice: ${count[$place]} test(s)" >&2
	done
}

# The tests need not look at the cache again.
make_ready() { # HOST KERNEL-OR-CPU
	# What asks for a password has to do so in the foreground.
	if [[ $1 == bochs* ]]; then
		"$top/scripts/tools.sh" install bochs || exit 1
	fi
	if [[ $2 == patched* && ! -e $(offers_file "$1" "$2").place ]]; then
		"$top/scripts/tools.sh" install build kernel || exit 1
	fi
	run_group prepare_host "$1" "$2" >"$work/ready" || exit 1
	remember_ready "$1" "$2" "$(cat "$work/ready")"
}

build() {
	[[ -e $top/build/config.mk ]] || "$top/configure" >&2 || return
	# Others may be at it in this tree.
	flock "$top/build" make -s -C "$top" -j "$(nproc)" all >&2 || {
		echo "run_tests.sh: the build failed (above); no test was run" >&2
		return 1
	}
}

warn_of_local() {
	local reason
	reason=$(local_reason)
	[[ -z $reason ]] ||
		echo "warning: $reason: what follows says nothing about KVM" >&2
}

names_of_selected() {
	printf '%s\n' "${selected[@]}" | cut -d $'\037' -f 1
}

interrupted() { # SIGNAL STATUS
	trap '' INT TERM HUP
	end_group
	echo "run_tests.sh: interrupted by SIG$1; no result" >&2
	exit "$2"
}

take_signals() {
	trap 'interrupted INT 130' INT
	trap 'interrupted TERM 143' TERM
	trap 'interrupted HUP 129' HUP
}

# prove writes the TAP of each test to this folder under the test's own name. Whoever has the logs kept
# (scripts/matrix) wants to know how long each test took, too.
run_prove() { # TAP-FOLDER
	local names
	mapfile -t names < <(names_of_selected)
	run_group env -C "$top/build/tests" PERL_TEST_HARNESS_DUMP_TAP="$1" \
		prove --exec bash -j "$jobs" ${verbose:+-v} ${VMABI_LOGS:+--timer} "${names[@]}"
}

# Each test's own output, one after the other.
run_raw() { # TAP-FOLDER
	local name status=0
	for name in $(names_of_selected); do
		((${#selected[@]} == 1)) || echo "# $name"
		# shellcheck disable=SC2016 # the inner shell expands these
		run_group bash -o pipefail -c '"$1" | tee "$2"' raw \
			"$top/build/tests/$name" "$1/$name" || status=1
	done
	return "$status"
}

write_junit() { # TAP-FOLDER
	(cd "$1" && prove --formatter TAP::Formatter::JUnit --source File \
		--file-option extensions=.tap ./*.tap) >"$1/junit" || true
	[[ -s $1/junit ]] && cp "$1/junit" "$junit"
}

run_selected() {
	local tap=$work/tap name status=0
	mkdir "$tap"
	if [[ $raw ]]; then
		run_raw "$tap" || status=1
	else
		run_prove "$tap" || status=1
	fi
	for name in $(names_of_selected); do
		touch "$tap/$name"
		mv "$tap/$name" "$tap/$name.tap"
	done
	if [[ $tap_dir ]]; then
		cp "$tap"/*.tap "$tap_dir/" ||
			die "cannot write to the folder $tap_dir"
	fi
	if [[ $junit ]]; then
		write_junit "$tap" || die "cannot write $junit"
	fi
	if [[ $raw ]]; then
		"$top/scripts/summary.pl" "$tap"/*.tap >&2 || status=1
	else
		"$top/scripts/summary.pl" "$tap"/*.tap || status=1
	fi
	exit "$status"
}

list_hosts() {
	local kernel reason probe
	"$top/scripts/tools.sh" install build run || exit 1
	build || exit 1
	reason=$(local_reason)
	echo "local: /dev/kvm of this machine"
	echo "  ${reason:-faithful: $(local_module)}${reason:+; used only with --on local}"
	[[ ! -e /dev/kvm ]] || show_probe "$("$top/build/host/vmrun/vmrun" --probe 2>&1)"
	for kernel in $all_kernels patched+snp; do
		show_kernel_host nested "Linux KVM inside QEMU TCG"
	done
	for kernel in $all_kernels; do
		show_kernel_host bochs-kvm "Linux KVM inside Bochs; used only with --on bochs-kvm"
	done
	echo
	echo "xen: Xen inside QEMU TCG; the guest is a PVH domain"
	show_what_was_probed xen "$xen_choice"
	echo
	echo "bochs: CPUs of Bochs, no hypervisor under the guest"
	"$top/host/bochs/program.sh" --list | sed 's/^/  /'
	echo "  offers: $(offers_of bochs)"
	echo "  lacks: $(lacking "$all_needs" "$(offers_of bochs)")"
	echo
	echo "tcg: QEMU TCG, no hypervisor under the guest"
	echo "  $("$(qemu_program)" --version | head -n 1)"
	echo "  offers: only the bare CPU"
	echo "  lacks: $all_needs"
}

show_kernel_host() { # HOST WHAT-IT-IS
	echo
	echo "$1: $2, kernel $kernel"
	show_what_was_probed "$1" "$kernel"
}

show_what_was_probed() { # HOST KERNEL
	local probe
	probe=$(probe_of "$1" "$2")
	if [[ $probe ]]; then
		echo "  faithful: $(kernel_version "$1" "$2")"
		show_probe "$probe"
	else
		echo "  not booted yet; the first test on it fetches or builds it, and boots it"
	fi
}

show_probe() { # TEXT
	local name answer detail
	while read -r name answer detail; do
		case $answer in
		yes) echo "  offers $name: $detail" ;;
		no) echo "  lacks $name: $detail" ;;
		*) echo "  $name $answer $detail" ;;
		esac
	done <<<"$1"
}
