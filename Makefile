# SPDX-License-Identifier: BSD-2-Clause
#
# One Makefile for everything; all that it makes lies under build/. See `make help`.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# What is asked of a script, which itself looks after tools and configuration, needs neither here.
ifneq ($(filter-out help clean check mutants guest-mutants crosscheck bench lint report ci-files lava-jobs check-report,$(or $(MAKECMDGOALS),all)),)
include build/config.mk
include build/tests.mk
endif

build/config.mk: | configure
	./configure

# TESTS and GUESTS, from unittests.cfg
build/tests.mk: build/config.mk FORCE
	@scripts/make_tests.sh

# --- the guests ---------------------------------------------------------------------------------

GUEST_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-format-zero-length -Ilib -MMD -MP \
	-ffreestanding -fno-pic -fno-pie -mgeneral-regs-only -mno-red-zone -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-omit-frame-pointer -fno-optimize-sibling-calls \
	-fcf-protection=branch -fno-jump-tables -fno-strict-aliasing
CFLAGS_x86_64 := -m64
CFLAGS_i386 := -m32 -march=i686

# lib/test/hosted.c is the harness's other half, for programs on the host.
LIB_OBJECTS := $(addsuffix .o,$(basename $(filter-out lib/test/hosted.c,$(wildcard lib/*/*.[cS]))))

ifneq ($(words $(LIB_OBJECTS)),$(words $(sort $(LIB_OBJECTS))))
$(error two files of lib/ have one object file: a name with .c and .S is one too many)
endif

# A guest is linked twice: the second time with the names of its functions, for its exception dumps.
define arch_rules
build/$(1)/%.o: %.c build/config.mk
	@mkdir -p $$(@D)
	$$(CC) $$(GUEST_CFLAGS) $$(CFLAGS_$(1)) -c $$< -o $$@

build/$(1)/%.o: %.S build/config.mk
	@mkdir -p $$(@D)
	$$(CC) $$(GUEST_CFLAGS) $$(CFLAGS_$(1)) -c $$< -o $$@

build/guests/$(1)/%.elf: build/$(1)/%.o $(LIB_OBJECTS:%=build/$(1)/%) lib/start/$(1).ld scripts/symbols.sh
	@mkdir -p $$(@D)
	$$(LINK_$(1)) $$(filter %.o,$$^) -lgcc -o $$@.1
	scripts/symbols.sh $$@.1 >$$@.S
	$$(CC) $$(CFLAGS_$(1)) -c $$@.S -o $$@.o
	$$(LINK_$(1)) $$(filter %.o,$$^) $$@.o -lgcc -o $$@
	@rm $$@.1 $$@.S $$@.o

LINK_$(1) = $$(CC) $$(CFLAGS_$(1)) -nostdlib -static -no-pie -Wl,-T,lib/start/$(1).ld \
	-Wl,--build-id=none -Wl,-z,noexecstack
endef
$(foreach arch,$(ARCHS),$(eval $(call arch_rules,$(arch))))

# --- programs on the host -----------------------------------------------------------------------

VERSION := 0.1
HOST_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-format-zero-length -D_GNU_SOURCE \
	-DVMABI_HOSTED -DVMABI_VERSION='"$(VERSION)"' -Ilib -Ihost -MMD -MP

# One program a folder, named here; a folder's unit tests lie in its tests/. SHARED_: what it has of another.
PROGRAMS := host/vmrun host/supervise host/nested/init host/nested/restore host/nested/tsc \
	host/bochs/rom host/bochs-kvm/pack host/bochs-kvm/restore host/xen/init
SHARED_host/bochs/rom := $(addprefix host/vmrun/,acpi.c elf.c multiboot.c pvh.c)
SHARED_host/bochs-kvm/pack := $(addprefix host/vmrun/,elf.c multiboot.c)
SHARED_host/bochs-kvm/restore := host/nested/restore/payload.c
SHARED_host/xen/init := $(addprefix host/nested/init/,fail.c inbox.c main.c)
BOCHS_PLUGIN := build/host/bochs-kvm/plugin/libbx_l1.so
HOST_PROGRAMS := $(foreach program,$(PROGRAMS),build/$(program)/$(notdir $(program))) $(BOCHS_PLUGIN)
HOSTED_TESTS := $(patsubst %.c,build/%,$(wildcard $(PROGRAMS:%=%/tests/*_test.c)))
HOSTED_HARNESS := $(patsubst %.c,build/hosted/%.o,lib/libc/format.c \
	$(filter-out lib/test/guest.c,$(wildcard lib/test/*.c)))

build/hosted/%.o: %.c build/config.mk
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -c $< -o $@

build/hosted/%.o: %.S build/config.mk
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -c $< -o $@

# A program on the host is static, so that it also runs in L1. Its unit tests are linked with all of
# it but its main().
define program_rules
OBJECTS_$(1) := $(patsubst %,build/hosted/%.o,$(basename $(wildcard $(1)/*.[cS]) $(SHARED_$(1))))

build/$(1)/$(notdir $(1)): $$(OBJECTS_$(1))
	@mkdir -p $$(@D)
	$$(CC) -static -pthread $$^ -o $$@

build/$(1)/tests/%_test: build/hosted/$(1)/tests/%_test.o $$(HOSTED_HARNESS) \
		$$(filter-out %/main.o,$$(OBJECTS_$(1)))
	@mkdir -p $$(@D)
	$$(CC) -pthread $$^ -o $$@
endef
$(foreach program,$(PROGRAMS),$(eval $(call program_rules,$(program))))

$(BOCHS_PLUGIN): host/bochs-kvm/plugin/plugin.c build/config.mk
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -fPIC -shared $< -o $@

# --- what one asks for --------------------------------------------------------------------------

# What make check runs beside the suite: the unit tests, and what goes wrong on purpose.
CHECK_PROGRAMS := $(HOSTED_TESTS) $(ARCHS:%=build/guests/%/host/tests/guests/broken.elf) \
	$(addprefix build/host/tests/,l1_program flat_rom.bin multiboot.elf)

build/host/tests/flat_rom.bin: host/tests/flat_rom.S
	@mkdir -p $(@D)
	$(CC) -m32 -c $< -o $@.o
	objcopy -O binary -j .text $@.o $@

build/host/tests/multiboot.elf: host/tests/multiboot.S
	@mkdir -p $(@D)
	$(CC) -m32 -nostdlib -static -no-pie -Wl,--build-id=none,-n,-Ttext=0x100000,-e,start $< -o $@

# The tests of guest_memfd (unittests.cfg, runs = host). Named one by one: make prefers a pattern whose
# objects are all there, which the one below is when an object here is new.
GMEM_OBJECTS := $(patsubst %.c,build/hosted/%.o,$(wildcard host/tests/gmem/common/*.c)) $(HOSTED_HARNESS)

GMEM_PROGRAMS := $(patsubst %.c,build/%,$(wildcard host/tests/gmem/*.c))

$(GMEM_PROGRAMS): build/%: build/hosted/%.o $(GMEM_OBJECTS)
	@mkdir -p $(@D)
	$(CC) -static -pthread $^ -o $@

# And those of SNP VMs.
SNP_OBJECTS := $(patsubst %.c,build/hosted/%.o,$(wildcard host/tests/snp/common/*.c)) \
	build/hosted/host/tests/snp/common/program.o $(HOSTED_HARNESS)

SNP_PROGRAMS := $(patsubst %.c,build/%,$(wildcard host/tests/snp/*.c))

$(SNP_PROGRAMS): build/%: build/hosted/%.o $(SNP_OBJECTS)
	@mkdir -p $(@D)
	$(CC) -static $^ -o $@

build/host/tests/%: build/hosted/host/tests/%.o
	@mkdir -p $(@D)
	$(CC) -static $^ -o $@

.PHONY: FORCE all check-programs standalone check mutants guest-mutants crosscheck bench lint report ci-files lava-jobs check-report clean help
.SECONDARY:

all: $(GUESTS) $(HOST_PROGRAMS)

check-programs: $(CHECK_PROGRAMS)

standalone: all
	@scripts/standalone.sh $(if $(filter command% env%,$(origin TESTS)),,--all-that-can) $(TESTS)

check:
	@scripts/check.sh

# Names or globs of mutants; without, all.
mutants:
	@set -f; host/kernel/mutants/run.sh $(M)

guest-mutants:
	@set -f; x86/cet/mutants/run.sh $(M)

crosscheck:
	@host/kernel/crosscheck/run.sh

bench:
	@scripts/bench.sh

# OUT: the folder of --out; AGAINST: the run to compare with.
report:
	@scripts/matrix/matrix.pl report $(if $(OUT),--out $(OUT)) $(if $(AGAINST),--against $(AGAINST))

# .gitlab-ci.yml and .github/workflows/matrix.yml, from matrix.cfg
ci-files:
	@scripts/matrix/matrix.pl ci-files

# J: the names of some; URL: where the lab finds build/lab.
lava-jobs:
	@set -f; scripts/matrix/matrix.pl lava-jobs $(if $(URL),--url $(URL)) $(J)

# The report's page, in Chromium.
check-report:
	@scripts/tools.sh install build run browser
	@scripts/matrix/tests/report.pl

lint:
	@scripts/lint.sh

clean:
	rm -rf build

help:
	@echo 'make              build the guests, the host programs and build/tests/NAME'
	@echo 'make check        the project'"'"'s own tests, and the suite on every host there is'
	@echo 'make mutants      breaks KVM on purpose and sees the tests fail; M=GLOB: only these mutants'
	@echo 'make guest-mutants  breaks the CET guests on purpose, likewise'
	@echo 'make crosscheck   the kernel'"'"'s own KVM selftests in the nested host, beside ours'
	@echo 'make standalone   each test as one file, build/standalone/NAME, that runs anywhere'
	@echo 'make report       the report of the last matrix once more; OUT=DIR AGAINST=RUN'
	@echo 'make check-report the page of a report, in a browser without a display'
	@echo 'make ci-files     the jobs of GitLab and GitHub, from matrix.cfg'
	@echo 'make lava-jobs    jobs for a lab that LAVA runs, in build/lab; J=NAME, URL=WHERE-THAT-IS'
	@echo 'make bench        print how long things take'
	@echo 'make lint         clang-format, shellcheck and cppcheck over the tree'
	@echo 'make clean        remove build/ (downloads and snapshots stay in the cache)'
	@echo 'The suite itself: ./run_tests.sh --help'

-include $(wildcard build/*/*.d build/*/*/*.d build/*/*/*/*.d build/*/*/*/*/*.d)
