// SPDX-License-Identifier: BSD-2-Clause
#include <vmrun/vmm.h>

#include <libc/string.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/io.h>

/* move.S */
void move_interruptible(uint32_t request, uint32_t port);

bool has_vmm(void)
{
	return inl(VMRUN_PORT_REQUEST) == VMRUN_REQUEST_MAGIC;
}

/* The stack is memory like any other: a request lies there; but for an encrypted guest's. */
static int ask(struct vmrun_request *request)
{
	REQUIRE(has_vmm());
	if (sev_active()) {
		struct vmrun_request *bounce = sev_shared(sev_bounce());

		*bounce = *request;
		outl(VMRUN_PORT_REQUEST, (uintptr_t)sev_bounce());
		*request = *bounce;
	} else {
		outl(VMRUN_PORT_REQUEST, (uintptr_t)request);
	}
	return request->status;
}

static int ask_for_value(struct vmrun_request *request, uint64_t *value)
{
	int status = ask(request);

	*value = status ? 0 : request->value;
	return status;
}

int vmm_msr_read(uint32_t msr, uint64_t *value)
{
	struct vmrun_request request = { .service = VMRUN_MSR_READ, .id = msr };

	return ask_for_value(&request, value);
}

int vmm_msr_write(uint32_t msr, uint64_t value)
{
	struct vmrun_request request = { .service = VMRUN_MSR_WRITE, .id = msr, .value = value };

	return ask(&request);
}

int vmm_reg_read(uint64_t id, uint64_t *value)
{
	struct vmrun_request request = { .service = VMRUN_REG_READ, .id = id };

	return ask_for_value(&request, value);
}

int vmm_reg_write(uint64_t id, uint64_t value)
{
	struct vmrun_request request = { .service = VMRUN_REG_WRITE, .id = id, .value = value };

	return ask(&request);
}

int vmm_inject(unsigned int vector)
{
	struct vmrun_request request = { .service = VMRUN_INJECT_EXCEPTION, .id = vector };

	return ask(&request);
}

int vmm_inject_error(unsigned int vector, uint32_t error_code)
{
	struct vmrun_request request = { .service = VMRUN_INJECT_EXCEPTION,
					 .id = vector,
					 .flags = VMRUN_EXCEPTION_ERROR_CODE,
					 .error_code = error_code };

	return ask(&request);
}

int vmm_inject_pf(uint32_t error_code, uint64_t cr2)
{
	struct vmrun_request request = { .service = VMRUN_INJECT_EXCEPTION,
					 .id = PF,
					 .flags = VMRUN_EXCEPTION_ERROR_CODE |
						  VMRUN_EXCEPTION_PAYLOAD,
					 .error_code = error_code,
					 .value = cr2 };

	return ask(&request);
}

int vmm_inject_nmi(void)
{
	struct vmrun_request request = { .service = VMRUN_INJECT_NMI };

	return ask(&request);
}

static int tell_step(const struct vmrun_request *request)
{
	if (request->status)
		test_diag("no move: %s: %d", request->name, request->status);
	return request->status;
}

int vmm_move(void)
{
	struct vmrun_request request = { .service = VMRUN_MOVE };

	ask(&request);
	return tell_step(&request);
}

int vmm_move_interruptible(bool shadow)
{
	struct vmrun_request request = { .service = VMRUN_MOVE,
					 .flags = shadow ? VMRUN_MOVE_SHADOW : 0 };

	REQUIRE(has_vmm());
	move_interruptible((uintptr_t)&request, VMRUN_PORT_REQUEST);
	return tell_step(&request);
}

struct vmrun_request *vmm_move_request(void)
{
	static struct vmrun_request request = { .service = VMRUN_MOVE };

	return &request;
}

int vmm_statistic(const char *name, uint64_t *value)
{
	struct vmrun_request request = { .service = VMRUN_STATISTIC };

	REQUIRE(strlen(name) < sizeof(request.name));
	memcpy(request.name, name, strlen(name) + 1);
	return ask_for_value(&request, value);
}

bool vmm_forces_emulation(void)
{
	struct vmrun_request request = { .service = VMRUN_FORCE_EMULATION };

	return ask(&request) == 0 && request.value != 0;
}

int vmm_page_out(uint64_t gpa, uint64_t size)
{
	struct vmrun_request request = { .service = VMRUN_PAGE_OUT, .id = gpa, .value = size };

	return ask(&request);
}

int vmm_page_in(uint64_t gpa)
{
	struct vmrun_request request = { .service = VMRUN_PAGE_IN, .id = gpa };

	return ask(&request);
}

int vmm_page_swap(uint64_t gpa)
{
	struct vmrun_request request = { .service = VMRUN_PAGE_SWAP, .id = gpa };

	return ask(&request);
}

uint64_t vmm_page_waiting(uint64_t gpa)
{
	struct vmrun_request request = { .service = VMRUN_PAGE_WAITING, .id = gpa };
	uint64_t value;

	ask_for_value(&request, &value);
	return value;
}

int vmm_host_read(uint64_t gpa, uint64_t *value)
{
	struct vmrun_request request = { .service = VMRUN_HOST_READ, .id = gpa };

	return ask_for_value(&request, value);
}

int vmm_host_write(uint64_t gpa, uint64_t value)
{
	struct vmrun_request request = { .service = VMRUN_HOST_WRITE, .id = gpa, .value = value };

	return ask(&request);
}

static int ask_for_range(enum vmrun_service service, uint64_t gpa, uint64_t size, uint32_t flags)
{
	struct vmrun_request request = {
		.service = service, .id = gpa, .value = size, .flags = flags
	};

	return ask(&request);
}

int vmm_host_unmap(uint64_t gpa, uint64_t size)
{
	return ask_for_range(VMRUN_HOST_UNMAP, gpa, size, 0);
}

int vmm_host_map(uint64_t gpa, uint64_t size)
{
	return ask_for_range(VMRUN_HOST_MAP, gpa, size, 0);
}

int vmm_punch(uint64_t gpa, uint64_t size)
{
	return ask_for_range(VMRUN_PUNCH, gpa, size, 0);
}

int vmm_region_add(uint64_t gpa, uint64_t size, uint32_t flags)
{
	return ask_for_range(VMRUN_REGION_ADD, gpa, size, flags);
}

int vmm_region_remove(uint64_t gpa)
{
	return ask_for_range(VMRUN_REGION_REMOVE, gpa, 0, 0);
}

int vmm_set_attributes(uint64_t gpa, uint64_t size, uint32_t attributes)
{
	return ask_for_range(VMRUN_ATTRIBUTES, gpa, size, attributes);
}

void vmm_fault_way(enum vmrun_fault_way way, uint64_t value)
{
	struct vmrun_request request = { .service = VMRUN_FAULT_WAY, .id = way, .value = value };

	REQUIRE(ask(&request) == 0);
}

uint64_t vmm_record(enum vmrun_record word)
{
	struct vmrun_request request = { .service = VMRUN_RECORD, .id = word };

	REQUIRE(ask(&request) == 0);
	return request.value;
}

static uint64_t value_of(struct vmrun_request *request)
{
	uint64_t value;

	REQUIRE(ask_for_value(request, &value) == 0);
	return value;
}

uint64_t vmm_expect_event(uint32_t type)
{
	struct vmrun_request request = { .service = VMRUN_EXPECT_EVENT, .id = type };

	return value_of(&request);
}

uint64_t vmm_hyperv_exit(unsigned int word)
{
	struct vmrun_request request = { .service = VMRUN_HYPERV_EXIT, .id = word };

	return value_of(&request);
}

uint64_t vmm_sint_acks(unsigned int cpu, unsigned int sint)
{
	struct vmrun_request request = { .service = VMRUN_SINT_ACKS,
					 .id = VMRUN_CONNECTION(cpu, sint) };

	return value_of(&request);
}

uint64_t vmm_connection_signals(void)
{
	struct vmrun_request request = { .service = VMRUN_CONNECTION_SIGNALS };

	return value_of(&request);
}

/* What is of encrypted guests alone must work there. */
static struct vmrun_request ask_map(enum vmrun_service service, uint64_t id, uint64_t value)
{
	struct vmrun_request request = { .service = service, .id = id, .value = value };
	int status = ask(&request);

	if (status)
		test_error(TEST_SITE("vmrun", true), "service %u, id 0x%llx: %d", service,
			   (unsigned long long)id, status);
	return request;
}

uint64_t vmm_map_count(void)
{
	return ask_map(VMRUN_RECORD, VMRUN_RECORD_CALLS, 0).value;
}

struct vmm_map vmm_map_record(uint64_t number)
{
	struct vmrun_request request = ask_map(VMRUN_MAP_RECORD, number, 0);

	return (struct vmm_map){ .gpa = request.value,
				 .pages = request.error_code,
				 .attributes = request.flags };
}

void vmm_map_fail(unsigned int skip)
{
	ask_map(VMRUN_MAP_FAIL, skip, 0);
}

uint64_t vmm_private_pages(uint64_t gpa, uint64_t size)
{
	return ask_map(VMRUN_PRIVATE_PAGES, gpa, size).value;
}

void vmm_map_capability(bool on)
{
	ask_map(VMRUN_MAP_CAPABILITY, on, 0);
}
