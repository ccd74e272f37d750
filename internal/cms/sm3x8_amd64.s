//go:build !purego

#include "textflag.h"

// Registers: Y0 to Y7 are the words A to H of eight states, Y8 to Y13 are scratch.
// SI points at the words of the message, DX at the constants.

// ROTL sets out to in, each word rotated left by n of 32 bits; m is 32-n.
#define ROTL(n, m, in, out, tmp) \
	VPSLLD $n, in, out  \
	VPSRLD $m, in, tmp  \
	VPOR   out, tmp, out

// HEAD sets Y9 to SS1 and Y8 to SS2.
#define HEAD(i, a, e) \
	ROTL(12, 20, a, Y8, Y10)    \
	VPADDD (i*32)(DX), e, Y9    \
	VPADDD Y8, Y9, Y9           \
	ROTL(7, 25, Y9, Y11, Y10)   \
	VMOVDQU Y11, Y9             \
	VPXOR  Y9, Y8, Y8

// TAIL takes FF in Y10 and GG in Y11. The new A goes to d, the new E to h.
#define TAIL(i, b, d, f, h) \
	VMOVDQU (i*32)(SI), Y12      \
	VPADDD Y9, h, h              \
	VPADDD Y12, Y11, Y11         \
	VPXOR  ((i+4)*32)(SI), Y12, Y12 \
	VPADDD Y11, h, h             \
	VPADDD Y8, d, d              \
	VPADDD Y12, Y10, Y10         \
	VPADDD Y10, d, d             \
	ROTL(9, 23, b, Y10, Y11)     \
	VMOVDQU Y10, b               \
	ROTL(19, 13, f, Y10, Y11)    \
	VMOVDQU Y10, f               \
	ROTL(9, 23, h, Y10, Y11)     \
	ROTL(17, 15, h, Y12, Y13)    \
	VPXOR  Y10, h, h             \
	VPXOR  Y12, h, h

// ROUND1 is a round of the first 16, ROUND2 of the others (GB/T 32905 5.3.3).
#define ROUND1(i, a, b, c, d, e, f, g, h) \
	HEAD(i, a, e)     \
	VPXOR a, b, Y10   \
	VPXOR c, Y10, Y10 \
	VPXOR e, f, Y11   \
	VPXOR g, Y11, Y11 \
	TAIL(i, b, d, f, h)

#define ROUND2(i, a, b, c, d, e, f, g, h) \
	HEAD(i, a, e)       \
	VPOR  b, c, Y10     \
	VPAND a, Y10, Y10   \
	VPAND b, c, Y11     \
	VPOR  Y11, Y10, Y10 \
	VPXOR f, g, Y11     \
	VPAND e, Y11, Y11   \
	VPXOR g, Y11, Y11   \
	TAIL(i, b, d, f, h)

// func sm3Block8(state *[8][8]uint32, w *[68][8]uint32, t *[64][8]uint32)
TEXT ·sm3Block8(SB), NOSPLIT, $0-24
	MOVQ state+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ t+16(FP), DX

	// Words 16 to 67 of the message.
	MOVQ SI, AX
	MOVQ $52, CX

expand:
	VMOVDQU (13*32)(AX), Y0
	ROTL(15, 17, Y0, Y1, Y2)
	VPXOR   (0*32)(AX), Y1, Y1
	VPXOR   (7*32)(AX), Y1, Y1
	ROTL(15, 17, Y1, Y2, Y3)
	ROTL(23, 9, Y1, Y3, Y4)
	VPXOR   Y2, Y1, Y1
	VPXOR   Y3, Y1, Y1
	VMOVDQU (3*32)(AX), Y0
	ROTL(7, 25, Y0, Y2, Y3)
	VPXOR   Y2, Y1, Y1
	VPXOR   (10*32)(AX), Y1, Y1
	VMOVDQU Y1, (16*32)(AX)
	ADDQ    $32, AX
	DECQ    CX
	JNZ     expand

	VMOVDQU 0(DI), Y0
	VMOVDQU 32(DI), Y1
	VMOVDQU 64(DI), Y2
	VMOVDQU 96(DI), Y3
	VMOVDQU 128(DI), Y4
	VMOVDQU 160(DI), Y5
	VMOVDQU 192(DI), Y6
	VMOVDQU 224(DI), Y7

	MOVQ $4, CX

first:
	ROUND1(0, Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7)
	ROUND1(1, Y3, Y0, Y1, Y2, Y7, Y4, Y5, Y6)
	ROUND1(2, Y2, Y3, Y0, Y1, Y6, Y7, Y4, Y5)
	ROUND1(3, Y1, Y2, Y3, Y0, Y5, Y6, Y7, Y4)
	ADDQ $128, SI
	ADDQ $128, DX
	DECQ CX
	JNZ  first

	MOVQ $12, CX

second:
	ROUND2(0, Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7)
	ROUND2(1, Y3, Y0, Y1, Y2, Y7, Y4, Y5, Y6)
	ROUND2(2, Y2, Y3, Y0, Y1, Y6, Y7, Y4, Y5)
	ROUND2(3, Y1, Y2, Y3, Y0, Y5, Y6, Y7, Y4)
	ADDQ $128, SI
	ADDQ $128, DX
	DECQ CX
	JNZ  second

	VPXOR   0(DI), Y0, Y0
	VPXOR   32(DI), Y1, Y1
	VPXOR   64(DI), Y2, Y2
	VPXOR   96(DI), Y3, Y3
	VPXOR   128(DI), Y4, Y4
	VPXOR   160(DI), Y5, Y5
	VPXOR   192(DI), Y6, Y6
	VPXOR   224(DI), Y7, Y7
	VMOVDQU Y0, 0(DI)
	VMOVDQU Y1, 32(DI)
	VMOVDQU Y2, 64(DI)
	VMOVDQU Y3, 96(DI)
	VMOVDQU Y4, 128(DI)
	VMOVDQU Y5, 160(DI)
	VMOVDQU Y6, 192(DI)
	VMOVDQU Y7, 224(DI)
	VZEROUPPER
	RET

// func hasAVX2() bool
TEXT ·hasAVX2(SB), NOSPLIT, $0-1
	MOVB  $0, ret+0(FP)
	MOVL  $0, AX
	CPUID
	CMPL  AX, $7
	JLT   no
	MOVL  $1, AX
	MOVL  $0, CX
	CPUID
	ANDL  $0x18000000, CX // OSXSAVE and AVX
	CMPL  CX, $0x18000000
	JNE   no
	MOVL  $0, CX
	XGETBV
	ANDL  $6, AX // the system keeps XMM and YMM
	CMPL  AX, $6
	JNE   no
	MOVL  $7, AX
	MOVL  $0, CX
	CPUID
	TESTL $0x20, BX
	JZ    no
	MOVB  $1, ret+0(FP)

no:
	RET
