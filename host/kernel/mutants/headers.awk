# SPDX-License-Identifier: BSD-2-Clause
#
# Reads mutants (README.md), named NAME.patch, and prints one record a line, its fields separated by
# the unit separator \037: the name, the words of its Caught-by lines, the files that it changes, the host
# that its tests run on (nested, unless it has a line On:).
#
# Everything that is wrong is said, one line each, and the status is 1.

BEGIN { sep = "\037" }

function complain(text) {
	print current ": " text > "/dev/stderr"
	errors++
}

function take_file(path) {
	if (path == "/dev/null")
		return
	if (path !~ /^[^\/]+\/(arch\/x86\/kvm|virt\/kvm)\/./ || path ~ /\.\./) {
		complain("it changes " path "; a mutant changes only files of arch/x86/kvm and virt/kvm")
		return
	}
	sub(/^[^\/]+\//, "", path)
	if (!((current, path) in seen))
		files = files (files == "" ? "" : " ") path
	seen[current, path] = 1
}

function end_mutant(   name, n, part) {
	if (current == "")
		return
	if (!has_subject)
		complain("it has no subject; add a line 'Subject: [PATCH] mutant: WHAT KVM DOES WRONG'")
	if (words == "")
		complain("it names no test; add a line 'Caught-by: TEST...' before its ---")
	if (host != "nested" && host != "bochs-kvm")
		complain("its tests run on nested or bochs-kvm, not on '" host "'")
	if (header || (files == "" && !errors))
		complain("it changes nothing; add the patch after its header")
	name = current
	sub(/\.patch$/, "", name)
	if (!errors)
		print name sep words sep files sep host
	all_errors += errors
}

FNR == 1 {
	end_mutant()
	current = FILENAME
	visited[FILENAME] = header = 1
	has_subject = errors = old = new = 0
	words = files = ""
	host = "nested"
}

header && /^Subject: *(\[[^]]*\])? *[^ \[]/ { has_subject = 1 }

header && /^Caught-by:/ {
	sub(/^Caught-by:[ \t]*/, "")
	gsub(/[ \t,]+/, " ")
	sub(/ $/, "")
	words = words (words == "" ? "" : " ") $0
	next
}

header && /^On:/ {
	host = $2
	next
}

# The header ends with a line ---, or with the patch itself.
header && /^(---$|--- |diff )/ { header = 0 }
header { next }

# Within a hunk, a line may look like anything.
old > 0 || new > 0 {
	if (/^[ -]/ || /^$/)
		old--
	if (/^[ +]/ || /^$/)
		new--
	next
}

/^@@ -[0-9]+(,[0-9]+)? \+[0-9]+(,[0-9]+)? @@/ {
	old = $2
	new = $3
	old = old ~ /,/ ? substr(old, index(old, ",") + 1) + 0 : 1
	new = new ~ /,/ ? substr(new, index(new, ",") + 1) + 0 : 1
	next
}

/^diff --git / { take_file($3); take_file($4) }
/^(---|\+\+\+) / { take_file($2) }

END {
	end_mutant()
	for (i = 1; i < ARGC; i++)
		if (!(ARGV[i] in visited)) {
			current = ARGV[i]
			complain("it is empty")
			all_errors++
		}
	exit all_errors > 0
}
