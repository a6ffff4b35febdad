package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
)

// What linux/netfilter/nfnetlink_queue.h defines and package syscall does not.
const (
	netlinkNetfilter = 12
	subsystemQueue   = 3 << 8

	messagePacket       = 0
	messageConfig       = 2
	messageVerdictBatch = 3

	attributePacketHeader  = 1
	attributeVerdictHeader = 2

	configCommand   = 1
	configParams    = 2
	configMaxLength = 3
	configMask      = 4
	configFlags     = 5

	commandBind  = 1
	copyMeta     = 1 // numbers only: nobody reads the packets here
	flagFailOpen = 1 // a full queue lets packets through
	flagGSO      = 4 // packets need not be split before they are queued
	accept       = 1
)

// queue is a netfilter queue that this process is bound to.
type queue struct {
	number uint16
	socket int
	buffer []byte
}

func openQueue(number uint16, length uint32) (*queue, error) {
	socket, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, netlinkNetfilter)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	if err := syscall.Bind(socket, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return nil, err
	}
	_ = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 16<<20)
	q := &queue{number: number, socket: socket, buffer: make([]byte, 1<<16)}
	flags := binary.BigEndian.AppendUint32(nil, flagFailOpen|flagGSO)
	for _, message := range [][]byte{
		attribute(configCommand, []byte{commandBind, 0, 0, 0}),
		attribute(configParams, []byte{0, 0, 0, 0, copyMeta}),
		attribute(configMaxLength, binary.BigEndian.AppendUint32(nil, length)),
		append(attribute(configFlags, flags), attribute(configMask, flags)...),
	} {
		if err := q.configure(message); err != nil {
			return nil, fmt.Errorf("configuring queue %d: %w", number, err)
		}
	}
	return q, nil
}

func (q *queue) configure(attributes []byte) error {
	if err := q.send(messageConfig, syscall.NLM_F_REQUEST|syscall.NLM_F_ACK, attributes); err != nil {
		return err
	}
	for {
		messages, err := q.read()
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Header.Type == syscall.NLMSG_ERROR {
				return acknowledged(m.Data)
			}
		}
	}
}

func acknowledged(data []byte) error {
	if len(data) < 4 {
		return os.ErrInvalid
	}
	if code := int32(binary.NativeEndian.Uint32(data)); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}

// receive waits for packets and returns their numbers.
func (q *queue) receive() ([]uint32, error) {
	messages, err := q.read()
	if err == syscall.ENOBUFS {
		return nil, nil // the kernel dropped some; those that follow still come
	}
	if err != nil {
		return nil, err
	}
	var ids []uint32
	for _, m := range messages {
		if m.Header.Type == subsystemQueue|messagePacket {
			if id, ok := packetID(m.Data); ok {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// packetID finds the packet's number among a message's attributes, behind 4 bytes of general header.
func packetID(data []byte) (uint32, bool) {
	for data = data[min(4, len(data)):]; len(data) >= 4; {
		length := int(binary.NativeEndian.Uint16(data))
		kind := binary.NativeEndian.Uint16(data[2:]) &^ (1<<15 | 1<<14)
		if length < 4 || length > len(data) {
			return 0, false
		}
		if kind == attributePacketHeader && length >= 8 {
			return binary.BigEndian.Uint32(data[4:]), true
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	return 0, false
}

// accept lets all packets up to the given one go on.
func (q *queue) accept(id uint32) error {
	verdict := binary.BigEndian.AppendUint32(nil, accept)
	verdict = binary.BigEndian.AppendUint32(verdict, id)
	return q.send(messageVerdictBatch, syscall.NLM_F_REQUEST, attribute(attributeVerdictHeader, verdict))
}

func (q *queue) read() ([]syscall.NetlinkMessage, error) {
	for {
		n, _, err := syscall.Recvfrom(q.socket, q.buffer, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		return syscall.ParseNetlinkMessage(q.buffer[:n])
	}
}

func (q *queue) send(kind, flags uint16, attributes []byte) error {
	message := binary.NativeEndian.AppendUint32(nil, uint32(syscall.NLMSG_HDRLEN+4+len(attributes)))
	message = binary.NativeEndian.AppendUint16(message, subsystemQueue|kind)
	message = binary.NativeEndian.AppendUint16(message, flags)
	message = append(message, make([]byte, 8)...)                   // sequence and port: one request at a time
	message = append(message, 0, 0)                                 // any protocol family, version 0
	message = binary.BigEndian.AppendUint16(message, q.number)      // which queue
	return syscall.Sendto(q.socket, append(message, attributes...), // to the kernel
		0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK})
}

func attribute(kind uint16, value []byte) []byte {
	a := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	a = binary.NativeEndian.AppendUint16(a, kind)
	a = append(a, value...)
	return append(a, make([]byte, (4-len(value)%4)%4)...)
}
