// SPDX-License-Identifier: BSD-2-Clause
#include "routing.h"

#include <stdlib.h>

#include "say.h"

#define PIC_LINES    16
#define IOAPIC_LINES ROUTING_FREE_LINE

_Static_assert(PIC_LINES + IOAPIC_LINES == ROUTING_CHIP_ENTRIES, "an entry a pin");

static void add_chip(struct kvm_irq_routing *routing, unsigned int line, unsigned int chip,
		     unsigned int pin)
{
	routing->entries[routing->nr++] = (struct kvm_irq_routing_entry){
		.gsi = line,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/* What KVM_CREATE_IRQCHIP made, which KVM_SET_GSI_ROUTING replaces. */
struct kvm_irq_routing *routing_new(unsigned int more)
{
	struct kvm_irq_routing *routing;

	routing = calloc(1, sizeof(*routing) +
				    (ROUTING_CHIP_ENTRIES + more) * sizeof(routing->entries[0]));
	if (!routing)
		fail("no memory for the routing of %u interrupts", ROUTING_CHIP_ENTRIES + more);
	for (unsigned int line = 0; line < PIC_LINES; line++)
		add_chip(routing, line, line < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
			 line % 8);
	for (unsigned int line = 0; line < IOAPIC_LINES; line++)
		add_chip(routing, line, KVM_IRQCHIP_IOAPIC, line);
	return routing;
}
