# SPDX-License-Identifier: BSD-2-Clause
#
# One Makefile for everything; all that it makes lies under build/. See `make help`.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# What is asked of a script, which itself looks after tools and configuration, needs neither here.
ifneq ($(filter-out help clean check bench lint,$(or $(MAKECMDGOALS),all)),)
include build/config.mk
include build/tests.mk
endif

build/config.mk: | configure
	./configure

# TESTS and GUESTS, from unittests.cfg
build/tests.mk: unittests.cfg knownbugs.cfg scripts/config.awk scripts/make_tests.sh build/config.mk
	@scripts/make_tests.sh $(ARCHS)

# --- the guests ---------------------------------------------------------------------------------

GUEST_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-format-zero-length -Ilib -MMD -MP \
	-ffreestanding -fno-pic -fno-pie -mgeneral-regs-only -mno-red-zone -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-omit-frame-pointer -fno-optimize-sibling-calls \
	-fcf-protection=none -fno-strict-aliasing
CFLAGS_x86_64 := -m64
CFLAGS_i386 := -m32 -march=i686

# lib/test/hosted.c is the harness's other half, for programs on the host.
LIB_SOURCES := $(filter-out lib/test/hosted.c,$(wildcard lib/*/*.c lib/*/*.S))

define arch_rules
build/$(1)/%.o: %.c build/config.mk
	@mkdir -p $$(@D)
	$$(CC) $$(GUEST_CFLAGS) $$(CFLAGS_$(1)) -c $$< -o $$@

build/$(1)/%.o: %.S build/config.mk
	@mkdir -p $$(@D)
	$$(CC) $$(GUEST_CFLAGS) $$(CFLAGS_$(1)) -c $$< -o $$@

build/guests/$(1)/%.elf: build/$(1)/%.o $$(LIB_SOURCES:%=build/$(1)/%.o) lib/start/$(1).ld
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS_$(1)) -nostdlib -static -no-pie -Wl,-T,lib/start/$(1).ld \
		-Wl,--build-id=none -Wl,-z,noexecstack $$(filter %.o,$$^) -lgcc -o $$@
endef

LIB_SOURCES := $(basename $(LIB_SOURCES))
$(foreach arch,$(ARCHS),$(eval $(call arch_rules,$(arch))))

# --- programs on the host -----------------------------------------------------------------------

HOST_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-format-zero-length -D_GNU_SOURCE -Ilib \
	-Ihost -MMD -MP

VMRUN_SOURCES := $(wildcard host/vmrun/*.c)
INIT_SOURCES := $(wildcard host/nested/*.c)
SUPERVISE_SOURCES := $(wildcard host/supervise/*.c)
HOSTED_TEST_SOURCES := $(wildcard host/*/tests/*_test.c)
HOSTED_TESTS := $(HOSTED_TEST_SOURCES:%.c=build/%)
HOST_PROGRAMS := build/host/vmrun build/host/init build/host/supervise

build/hosted/%.o: %.c build/config.mk
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -DVMABI_HOSTED -c $< -o $@

objects = $(patsubst %.c,build/hosted/%.o,$(1))

build/host/vmrun: $(call objects,$(VMRUN_SOURCES))
build/host/init: $(call objects,$(INIT_SOURCES))
build/host/supervise: $(call objects,$(SUPERVISE_SOURCES))
$(HOST_PROGRAMS):
	@mkdir -p $(@D)
	$(CC) -static -pthread $^ -o $@

# The unit tests of a program on the host are linked with all of it but its main().
HOSTED_HARNESS := $(call objects,lib/test/test.c lib/test/hosted.c)
define hosted_test_rule
build/$(1)tests/%_test: build/hosted/$(1)tests/%_test.o $$(HOSTED_HARNESS) \
		$$(filter-out %/main.o,$$(call objects,$$(wildcard $(1)*.c)))
	@mkdir -p $$(@D)
	$$(CC) -pthread $$^ -o $$@
endef
$(foreach dir,$(sort $(dir $(patsubst %/,%,$(dir $(HOSTED_TEST_SOURCES))))),\
	$(eval $(call hosted_test_rule,$(dir))))

# --- what one asks for --------------------------------------------------------------------------

.PHONY: all hosted-tests standalone check bench lint clean help
.SECONDARY:

all: $(GUESTS) $(HOST_PROGRAMS)

hosted-tests: $(HOSTED_TESTS)

standalone: all
	@scripts/standalone.sh $(TESTS)

check:
	@scripts/check.sh

bench:
	@scripts/bench.sh

lint:
	@scripts/lint.sh

clean:
	rm -rf build

help:
	@echo 'make              build the guests, the host programs and build/tests/NAME'
	@echo 'make check        the project'"'"'s own tests, and the suite on every host there is'
	@echo 'make standalone   each test as one file, build/standalone/NAME, that runs anywhere'
	@echo 'make bench        print how long things take'
	@echo 'make lint         clang-format, shellcheck and cppcheck over the tree'
	@echo 'make clean        remove build/ (downloads and snapshots stay in the cache)'
	@echo 'The suite itself: ./run_tests.sh --help'

-include $(wildcard build/*/*.d build/*/*/*.d build/*/*/*/*.d build/*/*/*/*/*.d)
