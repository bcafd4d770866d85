package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Valid and invalid safetensors files, built by hand. */
final class SafetensorsSamples {
    private SafetensorsSamples() {}

    /** A file of a header and that many bytes of data: 0, 1, 2, ... */
    static byte[] file(String header, int dataBytes) {
        return file(header.getBytes(UTF_8), dataBytes);
    }

    static byte[] file(byte[] header, int dataBytes) {
        ByteBuffer out = ByteBuffer.allocate(8 + header.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
        out.putLong(header.length).put(header);
        for (int i = 0; i < dataBytes; i++) {
            out.put((byte) i);
        }
        return out.array();
    }

    /** A tensor's description. */
    static String entry(String name, String dtype, String shape, String offsets) {
        return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets
                + "}";
    }

    /** Opens a file held in memory; the caller closes it. */
    @SuppressWarnings("MustBeClosedChecker") // the result closes the arena
    static SafetensorsFile inMemory(byte[] file) throws SafetensorsException {
        Arena arena = Arena.ofConfined();
        try {
            MemorySegment memory = arena.allocate(file.length, 64);
            MemorySegment.copy(file, 0, memory, ValueLayout.JAVA_BYTE, 0, file.length);
            return SafetensorsFile.over("test.safetensors", memory, arena);
        } catch (Throwable e) {
            arena.close();
            throw e;
        }
    }
}
