# SPDX-License-Identifier: BSD-2-Clause
#
# The ways in which a guest is booted, and in which it speaks
#
# By PVH on QEMU and vmrun, as all tests do, but here also with nothing but a COM1 to speak on; flat,
# where a loader knows nothing of ELF; and, vmrun being a VMM for others' guests too, a multiboot ELF.
#
# shellcheck disable=SC2154 # status, output and lines are set by run

bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	snapshot=$(host/nested/prepare.sh stock-7.2)
	export snapshot
}

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	archs=$(sed -n 's/^ARCHS := //p' build/config.mk)
	export VMABI_SCRATCH=$BATS_TEST_TMPDIR
}

qemu_until_end() { # OPTION...
	run timeout 20 "$(sed -n 's/^QEMU := //p' build/config.mk)" -accel tcg -cpu max -M q35 -m 64 -nodefaults -no-user-config \
		-display none -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4 "$@"
}

# shellcheck disable=SC2054 # commas within QEMU's own options
debug_console=(-chardev stdio,id=console -device isa-debugcon,iobase=0xe9,chardev=console)

all_passed() {
	# What isa-debug-exit makes of the guest's 0
	[[ $status -eq 1 && $output == *1..3*"ok 3 - a point after it"* && $output != *"not ok"* ]] || {
		printf 'status %s:\n%s\n' "$status" "$output"
		return 1
	}
}

@test "a guest boots by PVH and speaks on COM1 where there is no debug console" {
	for arch in $archs; do
		qemu_until_end -serial stdio -kernel "build/guests/$arch/host/tests/guests/broken.elf" -append well
		all_passed
	done
}

@test "the same image boots flat, on memory that is not zero" {
	for arch in $archs; do
		objcopy -O binary "build/guests/$arch/host/tests/guests/broken.elf" "$BATS_TEST_TMPDIR/flat"
		head -c 256K /dev/zero | tr '\0' '\377' >"$BATS_TEST_TMPDIR/dirt"
		qemu_until_end "${debug_console[@]}" -bios build/host/tests/flat_rom.bin \
			-device "loader,file=$BATS_TEST_TMPDIR/flat,addr=0x100000" \
			-device "loader,file=$BATS_TEST_TMPDIR/dirt,addr=$((0x100000 +
				$(stat -c %s "$BATS_TEST_TMPDIR/flat")))"
		all_passed
	done
}

@test "vmrun boots a multiboot ELF, and passes on what it writes to COM1" {
	run host/nested/run.sh "$snapshot" build/host/vmrun/vmrun build/host/tests/multiboot.elf --timeout 5
	[[ $status -eq 0 && ${lines[1]} == "ok 1 - entered by multiboot" ]]
}

@test "a guest gets the command line, the memory and the CPUs that vmrun was told" {
	run host/nested/run.sh "$snapshot" build/host/vmrun/vmrun \
		build/guests/x86_64/x86/runtime_memory.elf --mem 16 --smp 4 --timeout 10 \
		--append "alpha=1 beta gamma=0x20 alpha=two"
	[[ $status -eq 0 && $output != *"not ok"* ]]
}
