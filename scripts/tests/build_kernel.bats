# SPDX-License-Identifier: BSD-2-Clause
#
# Building a kernel of the project's own (host/kernel/build.sh), when things go wrong
#
# A patch that does not fit, a source that does not compile, no space, an interruption: one line names the
# cause, the status is not 0, and nothing half-made stays. That it goes right is seen by all tests on the
# kernel `patched`.
#
# Each test has a copy of the scripts, with patches of its own, and a cache of its own, with the source.
#
# shellcheck disable=SC2154 # status, output and stderr are set by run

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || exit
	real=${XDG_CACHE_HOME:-$HOME/.cache}/vmabi
	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache TMPDIR=$BATS_TEST_TMPDIR/tmp
	own=$XDG_CACHE_HOME/vmabi copy=$BATS_TEST_TMPDIR/copy
	mkdir -p "$own/kernels" "$TMPDIR" "$copy/host"
	ln -s "$real/kernels/source-7.2" "$own/kernels/"
	cp -r scripts "$copy/"
	cp -r host/kernel "$copy/host/"
	patches=$copy/host/kernel/patches/7.2
}

teardown() {
	[[ -z $(ls -A "$BATS_TEST_TMPDIR/tmp") ]]
	[[ -z $(find "$own" -maxdepth 2 -name '.new*') ]]
	[[ -z $(find "$own" -maxdepth 2 -name 'patched-*') ]]
	# As long as bats itself does not, nobody else needs what is left: ccache's files.
	rm -rf "$own"
}

build() {
	run --separate-stderr "$copy/host/kernel/build.sh" "$@"
}

# A patch of one line before the first line of a file.
patch_first_line() { # FILE FIRST-LINE TEXT
	printf '%s\n' 'Subject: [PATCH] a test' '---' "--- a/$1" "+++ b/$1" '@@ -1 +1,2 @@' "+$3" " $2" \
		>"$patches/0900-test.patch"
}

says() { # TEXT...: in the last line, after those that tell what is being done
	local text last=${stderr##*$'\n'}
	[[ $status -eq 1 && -z $output ]] || return
	for text; do
		[[ $last == *"$text"* ]] || {
			printf 'not found: %s; in: %s\n' "$text" "$stderr"
			return 1
		}
	done
}

@test "an unknown name is answered with the usage" {
	build stock-7.2
	[[ $status -eq 2 && -z $output && $stderr == "usage: build.sh [--tree] patched|patched-debug" ]]
}

@test "a patch that does not apply is named, with the file that it does not fit" {
	patch_first_line arch/x86/kvm/xen.c "this is not its first line" "int x;"
	build patched
	says "patched: patches/7.2/0900-test.patch does not apply to arch/x86/kvm/xen.c of linux-source-7." \
		"; adapt the patch"
}

@test "of a patch that does not fit, the first such file is named" {
	local tree=$BATS_TEST_TMPDIR/tree
	mkdir -p "$tree/a"
	echo one >"$tree/a/file"
	refused_for() { # FILE
		run bash -c 'source scripts/cache.sh; source host/kernel/kbuild.sh; apply_patch "$1" "$2"' apply "$tree" "$patches/0900-test.patch"
		[[ $status -eq 1 && $output == "$1" ]]
	}
	patch_first_line a/file "two" "zero"
	refused_for a/file
	patch_first_line a/no_such_file "one" "zero"
	refused_for a/no_such_file
	echo "no patch" >"$patches/0900-test.patch"
	refused_for "anything (it is no patch)"
	patch_first_line a/file "one" "zero"
	run bash -c 'source scripts/cache.sh; source host/kernel/kbuild.sh; apply_patch "$1" "$2"' apply "$tree" "$patches/0900-test.patch"
	[[ $status -eq 0 && -z $output && $(xargs <"$tree/a/file") == "zero one" ]]
	# It is not taken for one to be taken back.
	refused_for a/file
	[[ $(xargs <"$tree/a/file") == "zero one" ]]
}

@test "a source that does not compile is told by the compiler's first error" {
	local file=arch/x86/kernel/asm-offsets.c first
	first=$(tar -xOf "$own/kernels/source-7.2/linux.tar.xz" --wildcards "*/$file" | head -n 1)
	patch_first_line $file "$first" "#error this is the first error"
	build patched
	says "patched: cannot be built: " "$file" "error: #error this is the first error" "all of it: $own/trees/"
	[[ -s $own/trees/patched.log ]]
}

@test "a cache in which kbuild cannot build is told as that" {
	run --separate-stderr env XDG_CACHE_HOME="$BATS_TEST_TMPDIR/a cache" host/kernel/build.sh patched
	says "patched: a kernel cannot be built in $BATS_TEST_TMPDIR/a cache/vmabi/trees, since kbuild takes no blank"
}

@test "no space for the tree is told before it is begun" {
	[[ $(id -u) -eq 0 ]] || skip "takes root, to take away the space"
	mkdir "$own/trees"
	# shellcheck disable=SC2016 # the inner shell expands these
	run --separate-stderr unshare -m bash -c 'mount -t tmpfs -o size=50M tmpfs "$1/trees" &&
		exec "$2/host/kernel/build.sh" patched' space "$own" "$copy"
	says "there is no space in $own/trees (1500 MB are needed)"
}

@test "SIGTERM in the middle leaves nothing" {
	"$copy/host/kernel/build.sh" patched 2>"$BATS_TEST_TMPDIR/stderr" 3>&- &
	child=$!
	until compgen -G "$own/trees/.new.*/tree/arch" >/dev/null; do
		kill -0 "$child"
		sleep 0.2
	done
	kill -TERM "$child"
	status=0
	wait "$child" || status=$?
	[[ $status -eq 143 ]]
}
