# SPDX-License-Identifier: BSD-2-Clause
#
# Reads unittests.cfg (-v kind=tests) or knownbugs.cfg (-v kind=known) and prints one record a line,
# its fields separated by the unit separator \037 (they may be empty, and may hold spaces):
#
#	tests	name, section, file, groups, arch, smp, mem, append, requires, host,
#		kernel, timeout, runs;
#		one record for each architecture of a section; the name is SECTION-ARCH
#	known	section, tests, point, where, reason; one record for each point of a section, whose key
#		may stand there several times
#
# Everything that is wrong is said, one line each, with file and line, and the status is 1.
# The keys are documented at the head of the two files.

BEGIN {
	sep = "\037"
	if (kind == "tests") {
		keys = "file groups arch smp mem append requires host kernel timeout runs"
		needed = "file groups"
		words["arch"] = "x86_64 i386"
		words["host"] = hosts
		words["kernel"] = kernels
		words["requires"] = needs
		words["runs"] = "guest host"
		lowest["smp"] = 1; highest["smp"] = 64
		lowest["mem"] = 16; highest["mem"] = 3072
		lowest["timeout"] = 1; highest["timeout"] = 3600
	} else {
		keys = "tests point where reason"
		needed = keys
	}
	split(keys, list, " ")
	for (i in list)
		known_key[list[i]] = 1
}

function complain(line, text) {
	printf "%s:%d: %s\n", FILENAME, line, text > "/dev/stderr"
	errors++
}

function among(word, set) {
	return index(" " set " ", " " word " ") > 0
}

# A need may carry a value: xen-hcall=0x40000000, hyperv-hide=0x40000003:eax:0x40,0x40000004:ebx:0xfff,
# snp=0x30000,features=0x20, sev-es=ghcb=1.
function value_cut(key, word) {
	if (key == "requires" && word ~ /^(snp|sev-es)=/ && word !~ /,$/)
		sub(/=((0x[0-9a-f]+|features=0x[0-9a-f]+|ghcb=[12]|certs)(,|$))+$/, "", word)
	else if (key == "requires")
		sub(/=0x[0-9a-f]+(:e[abcd]x:0x[0-9a-f]+(,0x[0-9a-f]+:e[abcd]x:0x[0-9a-f]+)*)?$/, "", word)
	return word
}

function check_words(key, text,   n, i, part, done) {
	n = split(text, part, " ")
	for (i = 1; i <= n; i++)
		if (!among(value_cut(key, part[i]), words[key]))
			complain(FNR, "unknown " key " '" part[i] "' (there are: " words[key] ")")
	for (i = 1; i <= n; i++)
		if (among(part[i], done))
			complain(FNR, key " names '" part[i] "' twice")
		else
			done = done " " part[i]
	if (!n && key != "requires")
		complain(FNR, key " has no value (there are: " words[key] ")")
}

function check_number(key, text) {
	if (text !~ /^[0-9]+$/ || text + 0 < lowest[key] || text + 0 > highest[key])
		complain(FNR, key " takes a number from " lowest[key] " to " highest[key] \
			", not '" text "'")
}

function check_file(text,   line, status) {
	status = (getline line < (root text))
	close(root text)
	if (text !~ /\.c$/)
		complain(FNR, "file takes a C file, not '" text "'")
	else if (text ~ /^(lib|scripts)\/|^\/|\.\./ || text ~ /^host\// && text !~ /^host\/tests\/[^\/]+\/[^\/]+$/)
		complain(FNR, "file takes a test of this tree; " text " is none")
	else if (status < 0)
		complain(FNR, "there is no file " text)
}

function field(key, fallback) {
	return (key in value) ? value[key] : fallback
}

# What is a program on the host is none of the guest's, and the other way round.
function check_runs(   key, i, n, list) {
	if (field("runs", "guest") == "guest") {
		if (value["file"] ~ /^host\//)
			complain(section_line, "section [" section "] has a file of host/, but not 'runs = host'")
		return
	}
	if (value["file"] != "" && value["file"] !~ /^host\/tests\//)
		complain(section_line, "section [" section "] has 'runs = host', but no file of host/tests")
	if (!among("kvm", value["requires"]))
		complain(section_line, "section [" section "] has 'runs = host', and so requires kvm")
	n = split("arch smp mem append", list, " ")
	for (i = 1; i <= n; i++)
		if (list[i] in value)
			complain(section_line, "section [" section "] has 'runs = host', and no use for '" list[i] "'")
}

function end_section(   i, n, list, arch) {
	if (section == "")
		return
	n = split(needed, list, " ")
	for (i = 1; i <= n; i++)
		if (!(list[i] in value))
			complain(section_line, "section [" section "] has no key '" list[i] "'")
	if (kind == "known") {
		for (i = 1; i <= points; i++)
			out[++records] = section sep value["tests"] sep point[i] sep \
				value["where"] sep value["reason"]
	} else {
		check_runs()
		n = split(field("arch", field("runs") == "host" ? "x86_64" : "x86_64 i386"), arch, " ")
		for (i = 1; i <= n; i++)
			out[++records] = section "-" arch[i] sep section sep value["file"] sep \
				value["groups"] sep arch[i] sep field("smp", 1) sep \
				field("mem", 64) sep field("append", "") sep \
				field("requires", "") sep field("host", hosts) sep \
				field("kernel", kernels) sep field("timeout", 20) sep \
				field("runs", "guest")
	}
}

{ sub(/\r$/, "") }

/^[ \t]*(#|;|$)/ { next }

/^[ \t]*\[/ {
	end_section()
	split("", value)
	points = 0
	section = $0
	gsub(/^[ \t]*\[|\][ \t]*$/, "", section)
	section_line = FNR
	if ($0 !~ /^[ \t]*\[[A-Za-z0-9][A-Za-z0-9_.-]*\][ \t]*$/)
		complain(FNR, "this is no section's name: " $0)
	else if (section in seen)
		complain(FNR, "section [" section "] is here twice; the first is in line " seen[section])
	seen[section] = FNR
	next
}

/=/ {
	key = $0
	sub(/[ \t]*=.*/, "", key)
	sub(/^[ \t]*/, "", key)
	text = $0
	sub(/^[^=]*=[ \t]*/, "", text)
	sub(/[ \t]*$/, "", text)
	if (section == "")
		complain(FNR, "key '" key "' stands before the first section")
	else if (!(key in known_key))
		complain(FNR, "unknown key '" key "' (there are: " keys ")")
	else if (key in value && key != "point")
		complain(FNR, "key '" key "' is in section [" section "] twice")
	else if (key in words)
		check_words(key, text)
	else if (key in lowest)
		check_number(key, text)
	else if (key == "file")
		check_file(text)
	else if (text == "" && among(key, needed))
		complain(FNR, "key '" key "' has no value")
	value[key] = text
	if (key == "point")
		point[++points] = text
	next
}

{ complain(FNR, "neither a section, nor KEY = VALUE, nor a comment: " $0) }

END {
	end_section()
	if (errors)
		exit 1
	for (i = 1; i <= records; i++)
		print out[i]
}
