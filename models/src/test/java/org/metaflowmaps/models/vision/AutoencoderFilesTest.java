package org.metaflowmaps.models.vision;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.TensorFile;

/** Autoencoders are recognised by the names in their files. */
class AutoencoderFilesTest {
    @TempDir
    private Path folder;

    private Autoencoder load(Path file) throws IOException {
        return Autoencoder.load(file, DType.FLOAT64, Device.CPU);
    }

    @Test
    void everyLayoutDecodesTheSame() throws IOException {
        long before = NativeMemory.liveTensors();
        Files.copy(ReferenceValuesTest.file("vae-config.json"), folder.resolve("config.json"));
        try (TensorFile reference = TensorFile.open(ReferenceValuesTest.file("vae.safetensors"));
                TensorScope scope = TensorScope.open()) {
            Tensor latents = reference.view("case/decode_scaled_clamped/in/latents");
            Tensor expected = reference.view("case/decode_scaled_clamped/out/raw");
            for (String name : new String[] {"vae-old-attention.bin", "vae-compvis.ckpt", "vae-compvis.safetensors"}) {
                Files.copy(ReferenceValuesTest.file(name), folder.resolve(name));
                try (Autoencoder found = load(folder.resolve(name))) {
                    assertInstanceOf(AutoencoderKL.class, found);
                    assertClose(expected, found.decodeScaled(latents), 1e-6, name);
                    assertEquals(0.18215, found.scale());
                    assertEquals(8, found.factor());
                    assertEquals(4, found.latentChannels());
                }
            }
        }
        assertEquals(before, NativeMemory.liveTensors(), "live tensors");
    }

    @Test
    void bothFormsOfTaesdDecodeTheSame() throws IOException {
        Path decoder = folder.resolve("taesd_decoder.pth");
        Files.copy(ReferenceValuesTest.file("taesd_decoder.pth"), decoder);
        String message = String.valueOf(
                assertThrows(IOException.class, () -> load(decoder)).getMessage());
        assertTrue(message.contains("holds no autoencoder"), message);
        Files.copy(ReferenceValuesTest.file("taesd_encoder.pth"), folder.resolve("taesd_encoder.pth"));
        try (TensorFile reference = TensorFile.open(ReferenceValuesTest.file("taesd.safetensors"));
                TensorScope scope = TensorScope.open();
                Autoencoder two = load(decoder);
                Autoencoder one = load(ReferenceValuesTest.file("taesd.safetensors"))) {
            Tensor latents = reference.view("case/decode/in/latents");
            assertClose(reference.view("case/decode/out/decoded"), one.decodeScaled(latents), 1e-9, "decoded");
            assertArrayEquals(
                    one.decodeScaled(latents).toDoubleArray(),
                    two.decodeScaled(latents).toDoubleArray());
            assertEquals(8, one.factor());
            assertEquals(4, one.latentChannels());
        }
    }

    @Test
    void eitherFileOfTwoNamesBoth() throws IOException {
        Path home = Files.createDirectories(folder.resolve("decoder"));
        for (String name : List.of(
                "taesd_encoder.pth",
                "taesd_decoder.pth",
                "lone_decoder.pth",
                "autoencoder.bin",
                "autodecoder.bin",
                "encoder_encoder",
                "decoder_decoder",
                "encoder_decoder")) {
            Files.createFile(home.resolve(name));
        }
        List<Path> both = List.of(home.resolve("taesd_encoder.pth"), home.resolve("taesd_decoder.pth"));
        assertEquals(both, Autoencoder.files(both.getFirst()));
        assertEquals(both, Autoencoder.files(both.getLast()));
        for (String name : List.of("lone_decoder.pth", "autoencoder.bin", "encoder_decoder", "none")) {
            assertEquals(List.of(home.resolve(name)), Autoencoder.files(home.resolve(name)), name);
        }
        assertEquals(List.of(home), Autoencoder.files(home));
    }
}
