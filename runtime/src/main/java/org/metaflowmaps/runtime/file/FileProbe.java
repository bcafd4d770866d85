package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Collections;
import org.apache.commons.compress.archivers.zip.ZipFile;
import org.apache.commons.compress.utils.SeekableInMemoryByteChannel;
import org.metaflowmaps.bindings.FileMapping;

/** Reads a minimal file of each format from memory, so that all classes for reading are loaded. */
final class FileProbe {
    private static final byte[] EMPTY_ARCHIVE = {'P', 'K', 5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

    private FileProbe() {}

    static void readBoth() throws IOException {
        FileMapping.isAvailable();
        byte[] header =
                "{\"__metadata__\":{},\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}".getBytes(UTF_8);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment whole = arena.allocate(Long.BYTES + header.length);
            whole.set(ValueLayout.JAVA_BYTE, 0, (byte) header.length);
            MemorySegment.copy(MemorySegment.ofArray(header), 0, whole, Long.BYTES, header.length);
            SafetensorsHeader.read("probe", whole);
            Pickle.read("probe", MemorySegment.ofArray(new byte[] {'}', '.'}), 0, new PyTorchObjects(whole.byteSize()));
            FileKind.of(Path.of("probe"), whole);
            ShardedFile.index(Path.of("probe"), "{\"weight_map\":{}}");
        }
        try (ZipFile zip = ZipFile.builder()
                .setSeekableByteChannel(new SeekableInMemoryByteChannel(EMPTY_ARCHIVE))
                .get()) {
            Collections.list(zip.getEntries());
        }
    }
}
