package org.metaflowmaps.runtime.kernel;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import org.metaflowmaps.runtime.file.AtomicFile;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Compiled kernels on disk. A file's name has a hash of everything that the machine code depends on: source, headers, options,
 * architecture, and the versions of compiler and driver. Its last 32 bytes are the SHA-256 of the rest.
 *
 * <p>Several processes may use one folder: files are written beside and renamed, and two processes that compile the same program write
 * the same bytes.
 */
final class CubinCache {
    private static final Logger LOG = LoggerFactory.getLogger(CubinCache.class);
    private static final int DIGEST_BYTES = 32;

    private final Path folder;
    private final String versions;

    /**
     * Makes a cache.
     *
     * @param folder created when something is stored
     * @param versions of the compiler and the driver
     */
    CubinCache(Path folder, String versions) {
        this.folder = folder;
        this.versions = versions;
    }

    /**
     * Returns a program's machine code, from the disk if it is there and intact. If the folder cannot be written, logs a warning and
     * returns the code all the same.
     *
     * @param architecture such as {@code sm_90}
     * @param compiler called if there is no intact file
     */
    byte[] get(KernelProgram program, String architecture, Function<KernelProgram, byte[]> compiler) {
        Path file = file(program, architecture);
        byte[] stored = read(file);
        if (stored.length > 0) {
            return stored;
        }
        byte[] image = compiler.apply(program);
        write(file, image);
        return image;
    }

    /** Deletes a program's file, because the driver refused it. */
    void forget(KernelProgram program, String architecture) {
        try {
            Files.deleteIfExists(file(program, architecture));
        } catch (IOException e) {
            LOG.warn("A compiled kernel cannot be deleted: {}", e.toString());
        }
    }

    /** Returns where a program's code is kept. */
    Path file(KernelProgram program, String architecture) {
        MessageDigest digest = sha256();
        add(digest, program.source());
        for (Map.Entry<String, String> header : new TreeMap<>(KernelProgram.headers()).entrySet()) {
            add(digest, header.getKey());
            add(digest, header.getValue());
        }
        program.options(architecture).forEach(option -> add(digest, option));
        add(digest, versions);
        String hash = HexFormat.of().formatHex(digest.digest(), 0, 16);
        return folder.resolve(program.name() + "-" + architecture + "-" + hash + ".cubin");
    }

    /** Returns the contents of an intact file, else no bytes. */
    private static byte[] read(Path file) {
        byte[] bytes;
        try {
            if (!Files.exists(file)) {
                return new byte[0];
            }
            bytes = Files.readAllBytes(file);
        } catch (IOException e) {
            LOG.warn("A compiled kernel cannot be read and is compiled again: {}", e.toString());
            return new byte[0];
        }
        int length = bytes.length - DIGEST_BYTES;
        if (length > 0) {
            byte[] image = Arrays.copyOf(bytes, length);
            if (Arrays.equals(sha256().digest(image), Arrays.copyOfRange(bytes, length, bytes.length))) {
                return image;
            }
        }
        LOG.warn("The compiled kernel {} is damaged and is compiled again", file);
        return new byte[0];
    }

    private void write(Path file, byte[] image) {
        try {
            AtomicFile.write(file, image.length + DIGEST_BYTES, channel -> {
                for (byte[] part : new byte[][] {image, sha256().digest(image)}) {
                    ByteBuffer buffer = ByteBuffer.wrap(part);
                    while (buffer.hasRemaining()) {
                        channel.write(buffer);
                    }
                }
            });
            AtomicFile.deleteAbandoned(folder);
        } catch (IOException e) {
            LOG.warn("A compiled kernel cannot be stored and will be compiled again next time: {}", e.toString());
        }
    }

    /** Adds a text and its length, so that two texts never add up to the same bytes as two others. */
    private static void add(MessageDigest digest, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        digest.update(ByteBuffer.allocate(Integer.BYTES).putInt(bytes.length).array());
        digest.update(bytes);
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java has SHA-256", e);
        }
    }
}
