package main

import (
	"strings"
	"testing"
)

func TestPurpose(t *testing.T) {
	const script = `
    ffffffff81000010 tcp_sendmsg+0x10 ([kernel.kallsyms])
    ffffffff81000020 ksys_write+0x6d ([kernel.kallsyms])
    ffffffff81000030 do_syscall_64+0x37 ([kernel.kallsyms])
              4a1b2c syscall.RawSyscall+0x1c (/dist/portway)
              5a1b2c portway/proxy/wire.TryWrite+0x1c (/dist/portway)

    ffffffff81000040 __x64_sys_recvfrom ([kernel.kallsyms])

    ffffffff81000050 asm_sysvec_apic_timer_interrupt+0x1 ([kernel.kallsyms])
              5a1b2c portway/proxy/h1.(*conn).respond+0x1c (/dist/portway)

              4a1b2c crypto/internal/fips140/aes/gcm.gcmAesEnc.abi0+0x1c (/dist/portway)

              4a1b2c runtime.memclrNoHeapPointers+0x1c (/dist/portway)
              4a1b2c runtime.mallocgc+0x1c (/dist/portway)

              4a1b2c runtime.gopark+0x1c (/dist/portway)

              5a1b2c portway/proxy/h1.(*conn).respond+0x1c (/dist/portway)

              5a1b2c golang.org/x/net/http2.(*Framer).ReadFrame+0x1c (/dist/portway)
`
	var got []string
	for stack := range stacks(strings.NewReader(script)) {
		got = append(got, purpose(stack))
	}
	want := []string{"system call write", "system call recvfrom", forKernel, forTLS, forMemory, forRuntime, forOurs, forOthers}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
