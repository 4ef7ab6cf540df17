# SPDX-License-Identifier: BSD-2-Clause
#
# A kernel of the user's own: what host/kernel/take.sh makes of trees, files and installed kernels
#
# A kernel that is taken comes into the cache whole, is found again while it is unchanged, and is taken
# anew when it was built anew. What cannot serve is refused in one line that names the cause and the cure,
# with status 1, and leaves nothing.
#
# But for the one that is booted, kernels are imitations: a header, a version, a note, a configuration.
# Their modules are those of the stock kernel, and so is the configuration, with what Debian leaves out.
#
# shellcheck disable=SC2154 # status, output and stderr are set by run

bats_require_minimum_version 1.5.0

setup_file() {
	stock=$("$BATS_TEST_DIRNAME/../../host/kernel/fetch.sh" stock-7.2)
	release=$(cut -d ' ' -f 1 "$stock/version")
	config=$BATS_FILE_TMPDIR/config
	{
		cat "$stock/config"
		echo CONFIG_KVM_SW_PROTECTED_VM=y
	} >"$config"
	export stock release config
}

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache TMPDIR=$BATS_TEST_TMPDIR/tmp
	kernels=$XDG_CACHE_HOME/vmabi/kernels
	tree=$BATS_TEST_TMPDIR/linux
	mkdir -p "$kernels" "$TMPDIR"
}

teardown() {
	[[ -z $(ls -A "$BATS_TEST_TMPDIR/tmp") ]]
	[[ -z $(find "$BATS_TEST_TMPDIR/cache" -name '.new*') ]]
}

as_root() {
	[[ $(id -u) -eq 0 ]] || skip "takes root"
}

# The ELF header of a program, the version, the note of a PVH entry, and what comes from stdin.
imitate_vmlinux() { # RELEASE MACHINE CLASS ORDER NOTE-TYPE
	perl -e '
		my ($release, $machine, $class, $order, $type) = @ARGV;
		print "\x7fELF", chr $class, chr $order, "\1", "\0" x 9,
			pack($order == 1 ? "vvV" : "nnN", 2, $machine, 1), "\0" x 40;
		print "Linux version $release (me\@here)\n\0\0\0" if $release;
		print pack("VVV", 4, 8, $type), "Xen\0", "\0" x 8;
		print <STDIN>' "$1" "${2-62}" "${3-2}" "${4-1}" "${5-18}"
}

# A bzImage around what comes from stdin, as it was compressed; gzip itself appends the size.
imitate_bzimage() { # RELEASE [XLOADFLAGS [SIZE]]
	perl -e '
		my ($release, $flags, $size) = @ARGV;
		local $/;
		my $payload = <STDIN>;
		$payload .= pack "V", $size if $size;
		my $header = "\0" x 2560;
		substr($header, 497, 1) = "\4";
		substr($header, 514, 4) = "HdrS";
		substr($header, 518, 2) = pack "v", 0x20f;
		substr($header, 526, 2) = pack "v", 512;
		substr($header, 566, 2) = pack "v", $flags;
		substr($header, 588, 4) = pack "V", length $payload;
		substr($header, 1024, 1 + length $release) = "$release ";
		print $header, $payload, "\0" x 512' "$1" "${2-1}" "${3-0}"
}

# A tree as a build leaves it, with what take.sh looks at.
make_tree() { # FOLDER [RELEASE]
	mkdir -p "$1"/arch/x86/{boot,kvm} "$1"/arch/x86_64/boot "$1"/virt/lib
	cp "$config" "$1/.config"
	cp "$stock"/kvm{,-amd}.ko "$1/arch/x86/kvm/"
	cp "$stock/irqbypass.ko" "$1/virt/lib/"
	imitate_vmlinux "${2-$release}" </dev/null >"$1/vmlinux"
	gzip -c "$1/vmlinux" | imitate_bzimage "${2-$release}" >"$1/arch/x86/boot/bzImage"
	ln -sf ../../x86/boot/bzImage "$1/arch/x86_64/boot/bzImage"
}

set_option() { # NAME VALUE
	sed -i "/^CONFIG_$1=/d" "$tree/.config"
	echo "CONFIG_$1=$2" >>"$tree/.config"
}

take() { # PATH
	run --separate-stderr host/kernel/take.sh "$@"
}

taken() { # quietly, and whole
	[[ $status -eq 0 && -z $stderr && $output == "$kernels"/own-* && -e $output/manifest ]] || {
		echo "status $status, output '$output', stderr '$stderr'"
		return 1
	}
}

refused() { # TEXT...: one line on stderr that holds them, and no folder
	local text
	[[ $status -eq 1 && -z $output && $(grep -c . <<<"$stderr") -eq 1 && -z $(ls "$kernels") ]] || {
		echo "status $status, output '$output', stderr '$stderr', cache: $(ls "$kernels")"
		return 1
	}
	for text; do
		[[ $stderr == *"$text"* ]] || {
			echo "not found: $text; in: $stderr"
			return 1
		}
	done
}

@test "an installed kernel is taken, with packed modules, and runs a guest" {
	root=$BATS_TEST_TMPDIR/root
	modules=$root/usr/lib/modules/$release/kernel
	mkdir -p "$root/boot" "$modules"
	ln "$stock/bzImage" "$root/boot/vmlinuz-$release" || cp "$stock/bzImage" "$root/boot/vmlinuz-$release"
	cp "$config" "$root/boot/config-$release"
	xz -0 -c "$stock/kvm.ko" >"$modules/kvm.ko.xz"
	zstd -q -c "$stock/kvm-amd.ko" >"$modules/kvm-amd.ko.zst"
	gzip -1 -c "$stock/irqbypass.ko" >"$modules/irqbypass.ko.gz"
	take "$root/boot/vmlinuz-$release"
	taken
	[[ $(cat "$output/version") == "$release (own: $root/boot/vmlinuz-$release)" ]]
	[[ $(xargs <"$output/modules") == "irqbypass.ko kvm.ko kvm-amd.ko" ]]
	cmp "$output/vmlinux" "$stock/vmlinux"
	qemu=$(sed -n 's/^QEMU := //p' build/config.mk)
	snapshot=$(host/nested/snapshot.sh "$qemu" build/host/nested/init/init "$output" 2>/dev/null)
	run host/nested/run.sh "$snapshot" build/host/vmrun/vmrun build/guests/i386/hyperv/page.elf --hyperv --smp 2
	echo "$output"
	[[ $status -eq 0 && $output == *"ok 1 "* && $output != *"not ok"* ]]
}

@test "a tree is taken once while it is unchanged, and anew when it was built anew" {
	make_tree "$tree"
	take "$tree"
	taken
	first=$output
	inode=$(stat -c %i "$first")
	take "$tree/"
	taken
	[[ $output == "$first" && $(stat -c %i "$first") == "$inode" ]]
	touch "$tree/arch/x86/kvm/kvm.ko"
	take "$tree"
	taken
	[[ $output != "$first" ]]
	# The content is the same, and so is the snapshot.
	cmp "$first/manifest" "$output/manifest"
}

@test "an unchanged kernel is found again at once" {
	make_tree "$tree"
	take "$tree"
	taken
	# Of the CPU's time, for the machine may be loaded; in hundredths of a second
	TIMEFORMAT='%2U %2S'
	used=$({ time host/kernel/take.sh "$tree" >/dev/null; } 2>&1)
	echo "user and system: $used"
	read -r user system <<<"${used//./}"
	((10#$user + 10#$system < 20))
}

@test "bzImage, the link to it, and vmlinux of a tree are taken with its modules" {
	make_tree "$tree"
	for file in arch/x86/boot/bzImage arch/x86_64/boot/bzImage; do
		take "$tree/$file"
		taken
		grep -q kvm-amd "$output/modules"
	done
	cp "$stock/vmlinux" "$tree/vmlinux"
	take "$tree/vmlinux"
	taken
	grep -q kvm-amd "$output/modules"
	[[ -e $output/vmlinux && ! -e $output/bzImage ]]
}

@test "a vmlinux that is newer than the bzImage is the one that is taken" {
	make_tree "$tree"
	cp "$stock/vmlinux" "$tree/vmlinux"
	take "$tree"
	taken
	[[ ! -e $output/bzImage ]]
	grep -qx "$tree/vmlinux" "$output/taken"
}

@test "a kernel without a PVH entry is there as a bzImage alone" {
	make_tree "$tree"
	imitate_vmlinux "$release" 62 2 1 17 </dev/null | gzip -c |
		imitate_bzimage "$release" >"$tree/arch/x86/boot/bzImage"
	take "$tree"
	taken
	[[ -e $output/bzImage && ! -e $output/vmlinux ]]
}

@test "a vmlinux without a PVH entry is refused, and the bzImage named" {
	make_tree "$tree"
	perl -0777 -pe 's/\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0/\x04\0\0\0\x08\0\0\0\x7f\0\0\0Xen\0/' \
		"$stock/vmlinux" >"$tree/vmlinux"
	take "$tree/vmlinux"
	refused "without CONFIG_PVH" "give $tree/arch/x86/boot/bzImage"
}

@test "each compression of a bzImage is undone, or its tool is named" {
	make_tree "$tree"
	set_option KVM_AMD y
	size=$(stat -c %s "$tree/vmlinux")
	for compressor in "xz:xz -c" "zstd:zstd -qc" "lz4:lz4 -lc" "bzip2:bzip2 -c" "xz:xz --format=lzma -c" \
		"lzop:lzop -c"; do
		command -v "${compressor%%:*}" >/dev/null || continue
		${compressor#*:} <"$tree/vmlinux" | imitate_bzimage "$release" 1 "$size" >"$BATS_TEST_TMPDIR/bzImage"
		mv "$BATS_TEST_TMPDIR/bzImage" "$tree/arch/x86/boot/bzImage"
		take "$tree"
		taken
		cmp "$output/vmlinux" "$tree/vmlinux"
	done
	rm -r "${kernels:?}"/*
	printf '\x89LZO' | imitate_bzimage "$release" >"$tree/arch/x86/boot/bzImage"
	command -v lzop >/dev/null || {
		take "$tree"
		refused lzop "install the Debian package lzop"
	}
}

@test "KVM that is built in needs no modules" {
	make_tree "$tree"
	set_option KVM_AMD y
	rm "$tree"/arch/x86/kvm/*.ko
	take "$tree"
	taken
	[[ -e $output/modules && ! -s $output/modules ]]
}

@test "the configuration that the kernel holds is used if there is no other" {
	make_tree "$tree"
	grep -v '^CONFIG_DEVTMPFS=' "$stock/config" | gzip -c >"$BATS_TEST_TMPDIR/config.gz"
	{ printf IKCFG_ST; cat "$BATS_TEST_TMPDIR/config.gz"; printf IKCFG_ED; } >"$BATS_TEST_TMPDIR/ikconfig"
	imitate_vmlinux "$release" <"$BATS_TEST_TMPDIR/ikconfig" | gzip -c |
		imitate_bzimage "$release" >"$BATS_TEST_TMPDIR/bzImage"
	take "$BATS_TEST_TMPDIR/bzImage"
	refused "CONFIG_DEVTMPFS;" "build it with"
}

@test "that no configuration is known is told, and no obstacle" {
	make_tree "$tree"
	mkdir -p "$BATS_TEST_TMPDIR/root/boot" "$BATS_TEST_TMPDIR/root/lib/modules/$release"
	cp "$tree/arch/x86/boot/bzImage" "$BATS_TEST_TMPDIR/root/boot/vmlinuz-$release"
	cp "$tree"/{arch/x86/kvm,virt/lib}/*.ko "$BATS_TEST_TMPDIR/root/lib/modules/$release/"
	take "$BATS_TEST_TMPDIR/root/boot/vmlinuz-$release"
	[[ $status -eq 0 && $(grep -c . <<<"$stderr") -eq 1 && $stderr == *"configuration is not known"* ]]
}

@test "all needed options that are missing are named at once, with the commands that set them" {
	make_tree "$tree"
	set_option SERIAL_8250_CONSOLE n
	set_option BLK_DEV_INITRD n
	set_option CMDLINE_OVERRIDE y
	take "$tree"
	refused CONFIG_SERIAL_8250_CONSOLE CONFIG_BLK_DEV_INITRD CONFIG_CMDLINE_OVERRIDE=n \
		"scripts/config --file $tree/.config" "-e SERIAL_8250_CONSOLE" "-d CMDLINE_OVERRIDE" \
		"make -C $tree olddefconfig all"
}

@test "it is the configuration of the last build that counts" {
	make_tree "$tree"
	mkdir -p "$tree/include/config"
	grep -v '^CONFIG_PCI=' "$tree/.config" >"$tree/include/config/auto.conf"
	take "$tree"
	refused "CONFIG_PCI;"
}

@test "an option that only some tests need is missed with a warning, if the kernel could have it" {
	make_tree "$tree"
	set_option KVM_XEN n
	take "$tree"
	[[ $status -eq 0 && $(grep -c . <<<"$stderr") -eq 1 ]]
	[[ $stderr == *"warning: it was built without CONFIG_KVM_XEN: the tests that require xen-hcall will be skipped" ]]
}

@test "a kernel without KVM, or without its modules, is told what to do" {
	make_tree "$tree"
	rm "$tree/arch/x86/kvm/kvm-amd.ko"
	take "$tree"
	refused "there is no module kvm-amd.ko" "run: make -C $tree modules"
	set_option KVM n
	set_option KVM_AMD n
	take "$tree"
	refused "CONFIG_KVM, CONFIG_KVM_AMD;" "-m KVM -m KVM_AMD"
}

@test "a module that another one depends on and that is missing is named" {
	make_tree "$tree"
	rm "$tree/virt/lib/irqbypass.ko"
	take "$tree"
	refused "irqbypass.ko"
}

@test "modules of another version than the kernel are refused" {
	make_tree "$tree" 7.2.99-next
	take "$tree"
	refused "is of $release, the kernel of 7.2.99-next" "run: make -C $tree"
}

@test "a kernel that is built while it is taken is refused" {
	make_tree "$tree"
	# make comes in between.
	mkdir "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\ntouch "%s"\nexec %s "$@"\n' "$tree/arch/x86/kvm/kvm.ko" "$(command -v strip)" \
		>"$BATS_TEST_TMPDIR/bin/strip"
	chmod +x "$BATS_TEST_TMPDIR/bin/strip"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH take "$tree"
	refused "wait until make has ended"
}

@test "a kernel with a date in the future is taken" {
	make_tree "$tree"
	touch -d '+1 hour' "$tree/arch/x86/kvm/kvm.ko"
	take "$tree"
	[[ $status -eq 0 ]]
}

@test "a path that is not there, an empty folder, no tree, a tree that was never built" {
	take "$BATS_TEST_TMPDIR/no such path"
	refused "there is no such file or folder"
	mkdir "$tree"
	take "$tree"
	refused "the folder is empty"
	touch "$tree/README"
	take "$tree"
	refused "this is no kernel tree"
	touch "$tree/Kconfig"
	take "$tree"
	refused "no kernel was built in this tree; run: make -C $tree"
	cp "$stock/config" "$tree/.config"
	take "$tree"
	refused "no kernel was built in this tree; run: make -C $tree"
}

@test "what is no kernel is refused" {
	for file in README.md build/host/vmrun/vmrun /dev/null "$stock/kvm.ko"; do
		take "$file"
		refused "give a kernel tree, a bzImage or a vmlinux"
	done
}

@test "a kernel for another architecture is refused, and the architecture named" {
	file=$BATS_TEST_TMPDIR/image
	for case in "183 2 1 64-bit arm64, little-endian" "3 1 1 32-bit x86, little-endian" \
		"62 1 1 32-bit x86, little-endian" "21 2 2 64-bit PowerPC, big-endian"; do
		read -r machine class order words <<<"$case"
		imitate_vmlinux "$release" "$machine" "$class" "$order" </dev/null >"$file"
		take "$file"
		refused "($words)" "build one for x86-64"
	done
	{ head -c 56 /dev/zero; printf 'ARM\x64'; head -c 4096 /dev/zero; } >"$file"
	take "$file"
	refused "(arm64)"
	gzip -c README.md | imitate_bzimage "$release" 0 >"$file"
	take "$file"
	refused "(32-bit x86)"
}

@test "a bzImage that is cut off or damaged is told as that" {
	make_tree "$tree"
	image=$tree/arch/x86/boot/bzImage
	cp "$stock/bzImage" "$BATS_TEST_TMPDIR/whole"
	for size in 540 580 3000 5000000; do
		head -c "$size" "$BATS_TEST_TMPDIR/whole" >"$image"
		take "$image"
		refused "cut off"
	done
	{ head -c 8000000 "$BATS_TEST_TMPDIR/whole"; head -c 4096 /dev/zero
		tail -c +8004097 "$BATS_TEST_TMPDIR/whole"; } >"$image"
	take "$image"
	refused "cannot be unpacked"
	head -c 30000000 "$stock/vmlinux" >"$tree/vmlinux"
	take "$tree/vmlinux"
	refused "is damaged or cut off"
}

@test "a file that may not be read is told as that" {
	as_root
	make_tree "$tree"
	# Of the project, a copy that another user can reach.
	mkdir "$BATS_TEST_TMPDIR/host"
	cp -r scripts "$BATS_TEST_TMPDIR/"
	cp -r host/kernel "$BATS_TEST_TMPDIR/host/"
	chmod 600 "$tree/arch/x86/boot/bzImage"
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$BATS_TEST_TMPDIR"
	cd "$BATS_TEST_TMPDIR" || return
	run --separate-stderr setpriv --reuid=65534 --clear-groups \
		host/kernel/take.sh "$tree/arch/x86/boot/bzImage"
	refused "cannot be read" "chmod a+r"
}

@test "no space in the cache is told as that" {
	as_root
	make_tree "$tree"
	cp "$stock/bzImage" "$tree/arch/x86/boot/bzImage"
	# shellcheck disable=SC2016 # the inner shell expands these
	run --separate-stderr unshare -m bash -c 'mount -t tmpfs -o size=20M none "$1" && host/kernel/take.sh "$2"
		status=$?
		ls -A "$1/vmabi/kernels"
		exit $status' space "$XDG_CACHE_HOME" "$tree"
	[[ $output == .lock ]]
	output=
	refused "no space" XDG_CACHE_HOME
}

@test "SIGTERM while a kernel is taken leaves nothing" {
	make_tree "$tree"
	cp "$stock/bzImage" "$tree/arch/x86/boot/bzImage"
	host/kernel/take.sh "$tree" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	pid=$!
	until [[ $(find "$kernels" -name bzImage) ]]; do
		kill -0 $pid
	done
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	[[ $status -eq 143 && -z $(ls "$kernels") && ! -s $BATS_TEST_TMPDIR/out ]]
}

@test "a damaged folder is told as that and taken again; one that nobody used for two weeks goes" {
	make_tree "$tree"
	take "$tree"
	taken
	first=$output
	echo >>"$first/config"
	take "$tree"
	[[ $status -eq 0 && $output == "$first" && $stderr == *"is damaged; it is taken again" ]]
	mkdir "$kernels/own-old"
	touch -d '15 days ago' "$kernels/own-old" "$first"
	take "$tree"
	taken
	touch "$tree/vmlinux" "$tree/arch/x86/boot/bzImage"
	take "$tree"
	taken
	[[ $output != "$first" && -e $first && ! -e $kernels/own-old ]]
}
